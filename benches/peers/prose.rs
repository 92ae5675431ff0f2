//! Messages that look like those of an agent: prose of words as frequent as in a language, and code.

/// Words of the prose beside the common ones, most frequent first.
const WORDS: usize = 20_000;
/// Syllables that words are made of.
const SYLLABLES: [&str; 32] = [
    "con", "ver", "ta", "re", "si", "on", "pa", "ment", "lo", "ger", "ti", "mo", "ste", "ran",
    "de", "cu", "ble", "for", "in", "pre", "que", "sub", "tor", "ly", "ex", "ma", "ne", "pol",
    "is", "vo", "ca", "dri",
];
/// Words with which code is written.
const CODE: [&str; 12] = [
    "const", "return", "async", "function", "await", "import", "struct", "match", "self", "Result",
    "string", "error",
];

/// Returns the word of a rank: the same each time, another for each.
pub(crate) fn word(rank: usize) -> String {
    let (mut rest, mut word) = (rank + SYLLABLES.len(), String::new());
    while rest > 0 {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    word
}

/// Returns a rank by Zipf's law, about.
fn rank(random: &mut fastrand::Rng) -> usize {
    let most = (WORDS as f64).ln();
    ((random.f64() * most).exp() - 1.0) as usize
}

/// Returns an identifier of several words.
fn identifier(random: &mut fastrand::Rng) -> String {
    let words: Vec<String> = (0..random.usize(2..4)).map(|_| word(rank(random))).collect();
    if random.bool() {
        return words.join("_");
    }
    let capital = |word: &String| word[..1].to_uppercase() + &word[1..];
    words[0].clone() + &words[1..].iter().map(capital).collect::<String>()
}

/// Returns a message's content: about 400 bytes, a third of it code.
pub(crate) fn content(random: &mut fastrand::Rng) -> String {
    let mut text = String::with_capacity(512);
    for _ in 0..random.usize(2..5) {
        let words: Vec<String> = (0..random.usize(8..16)).map(|_| word(rank(random))).collect();
        text.push_str(&words.join(" "));
        text.push_str(".\n");
    }
    for _ in 0..random.usize(1..4) {
        let (name, call) = (identifier(random), identifier(random));
        let code = CODE[random.usize(..CODE.len())];
        let line = random.u32(1..900);
        text.push_str(&format!(
            "  {code} {name} = {call}({line}); // src/{}.rs:{line}\n",
            word(rank(random))
        ));
    }
    text
}

/// Returns two words of the middle ranks, which some thousands of a million messages have.
pub(crate) fn two_words(random: &mut fastrand::Rng) -> [String; 2] {
    [word(random.usize(20..400)), word(random.usize(20..400))]
}
