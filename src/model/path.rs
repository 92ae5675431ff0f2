//! Paths of folders: which texts name the same folder, without asking the file system.
//!
//! The look of a path tells its platform, not the machine the daemon runs on: `/…` is a path of
//! Unix, `C:\…` and `\\server\share\…` are paths of Windows. Separators that are repeated or at
//! the end, `.` and `..` make no other folder; on Windows neither do `/` for `\`, the case of
//! letters, and the prefix `\\?\`. `..` is resolved in the text: a link is not looked at.

/// The absolute path of a folder, taken apart.
#[derive(Debug)]
pub struct FolderPath<'a> {
    text: &'a str,
    root: Root<'a>,
    parts: Vec<&'a str>,
}

#[derive(Debug)]
enum Root<'a> {
    Unix,
    Drive(&'a str),
    Share { server: &'a str, share: &'a str },
}

/// Returns the text that is the same for all paths of one file.
///
/// A path that is not absolute has itself for a key, which no absolute one has.
pub fn path_key(text: &str) -> String {
    FolderPath::parse(text).map_or_else(|_| text.to_owned(), |path| path.key())
}

impl<'a> FolderPath<'a> {
    /// Takes a path apart, or returns what is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("a path has no control characters".to_owned());
        }
        let (root, rest) = split_root(text).ok_or_else(|| {
            format!(
                r"expected an absolute path (/…, C:\… or \\server\share\…), found {:?}",
                beginning(text)
            )
        })?;
        let separators = separators(!matches!(root, Root::Unix));
        let mut parts = Vec::new();
        for part in rest.split(separators) {
            match part {
                "" | "." => {}
                // Nothing is above a root.
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Ok(Self { text, root, parts })
    }

    /// Returns the text that is the same for all paths of one folder.
    pub fn key(&self) -> String {
        let separator = if self.is_of_windows() { "\\" } else { "/" };
        self.root_key() + &self.folded(&self.parts.join(separator))
    }

    /// Returns the key of the root that the folder is below of.
    pub(super) fn root_key(&self) -> String {
        match self.root {
            Root::Unix => "/".to_owned(),
            Root::Drive(letter) => self.folded(&format!("{letter}:\\")),
            Root::Share { server, share } => self.folded(&format!("\\\\{server}\\{share}\\")),
        }
    }

    /// True for a path of Windows, which compares names without regard to case.
    pub fn is_of_windows(&self) -> bool {
        !matches!(self.root, Root::Unix)
    }

    /// Returns a text below the root as it is compared.
    pub(super) fn folded(&self, text: &str) -> String {
        if self.is_of_windows() { text.chars().map(upper_case).collect() } else { text.to_owned() }
    }

    /// Returns the text that is the same for all spellings of the folder's own name.
    pub fn name_key(&self) -> String {
        self.folded(self.name())
    }

    /// Returns the names between the root and the folder, and its own.
    pub(super) fn parts(&self) -> &[&'a str] {
        &self.parts
    }

    /// Returns the folder's own name; the path itself where it is a root.
    pub fn name(&self) -> &'a str {
        match (self.parts.last(), &self.root) {
            (Some(part), _) => part,
            (None, Root::Share { share, .. }) => share,
            (None, _) => self.text,
        }
    }
}

/// Returns what stands between the names of a path.
pub(super) fn separators(of_windows: bool) -> &'static [char] {
    if of_windows { &['/', '\\'] } else { &['/'] }
}

/// Returns what two keys have in common whose paths differ in the case of letters at most.
///
/// Many a file system of macOS, and a folder of Windows where it says so, tells case apart or not,
/// which no path shows. So this finds what is worth a look.
pub fn without_case(key: &str) -> String {
    key.chars().flat_map(char::to_lowercase).collect()
}

/// Returns a path's root and what follows it; `None` where the path is not absolute.
fn split_root(text: &str) -> Option<(Root<'_>, &str)> {
    if text.starts_with('/') {
        return Some((Root::Unix, text));
    }
    let verbatim = text.strip_prefix(r"\\?\");
    let is_unc = |text: &&str| text.get(..4).is_some_and(|it| it.eq_ignore_ascii_case(r"UNC\"));
    let share = match verbatim {
        Some(text) => Some(text).filter(is_unc).map(|text| &text[4..]),
        None => text.strip_prefix(r"\\"),
    };
    let text = verbatim.unwrap_or(text);
    if let Some(share) = share {
        let mut parts = share.splitn(3, ['/', '\\']);
        let (server, share) = (parts.next()?, parts.next()?);
        // `\\.\` and `\\?\` begin names of devices.
        let is_name = |part: &str| !matches!(part, "" | "." | ".." | "?");
        let is_share = is_name(server) && is_name(share);
        return is_share.then(|| (Root::Share { server, share }, parts.next().unwrap_or_default()));
    }
    let (letter, rest) = text.split_once(':')?;
    let is_drive = letter.len() == 1 && letter.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_drive && rest.starts_with(['/', '\\'])).then_some((Root::Drive(letter), rest))
}

/// Returns a letter as Windows compares it: one unit of UTF-16 for another, and none into ASCII.
fn upper_case(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None)
            if letter.len_utf16() == 1 && (letter.is_ascii() || !upper.is_ascii()) =>
        {
            upper
        }
        _ => letter,
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> String {
        FolderPath::parse(path).unwrap_or_else(|problem| panic!("{path}: {problem}")).key()
    }

    #[test]
    fn paths_of_one_folder_have_one_key() {
        for same in [
            &["/", "//", "/.", "/..", "/../../.", "/a/.."][..],
            &["/p/q", "/p/q/", "/p//q", "//p/q///", "/p/./q/.", "/p/x/../q", "/../p/q"],
            &["/p/a\\b", "/p/a\\b/"],
            &["/é/🦀", "/é/🦀/"],
            &[r"C:\", "C:/", "c:\\\\", r"C:\.", r"c:\..", r"\\?\C:\", r"C:\a\.."],
            &[
                r"C:\Users\me",
                r"c:\users\ME\",
                "C:/Users/me",
                "C:/Users//me/",
                r"C:\Users\.\me\x\..",
                r"\\?\C:\Users\me",
                r"\\?\c:\USERS\me",
            ],
            &[r"C:\ÄÖ\straße\ǆ", r"c:\äö\STRAßE\Ǆ"],
            &[
                r"\\server\share",
                r"\\SERVER\Share\",
                r"\\server/share/.",
                r"\\server\share\..\..",
                r"\\?\UNC\server\share",
                r"\\?\unc\server\share\a\..",
            ],
            &[r"\\server\share\a\b", r"\\server\share/A//b/"],
        ] {
            for path in same {
                assert_eq!(key(path), key(same[0]), "{path} and {}", same[0]);
            }
        }
    }

    #[test]
    fn other_folders_have_other_keys() {
        let all = [
            "/",
            "/p",
            "/P",
            "/p/q",
            "/p/q ",
            "/p/Q",
            "/p/q/...",
            "/p\\q",
            "/c:/users",
            "/server/share",
            r"C:\",
            r"D:\",
            r"C:\p",
            r"C:\p\q",
            r"C:\p q",
            r"C:\ss",
            r"C:\ß",
            r"C:\s",
            r"C:\ſ",
            r"C:\i",
            r"C:\ı",
            r"C:\ﬁ",
            r"C:\fi",
            r"\\p\q",
            r"\\p\q\r",
            r"\\p\r",
            r"\\c\users",
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(key(one), key(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_key_is_a_path_of_its_own_folder() {
        for path in ["/", "/a/../b//", "C:/x/./Y", r"\\s\t\u\..\v", r"\\?\UNC\s\t", "/a b"] {
            assert_eq!(key(&key(path)), key(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_absolute_path_is_refused() {
        for path in [
            "",
            "p",
            "./p",
            "../p",
            "~/p",
            "p/q",
            "C:",
            "C:p",
            r"\p",
            r"\",
            r"\\",
            r"\\server",
            r"\\server\",
            r"\\\share",
            r"\\.\C:\p",
            r"\\.\pipe\x",
            r"\\?\",
            r"\\?\p",
            r"\\?\UNC\server",
            r"\\?\\\server\share",
            r"UNC\server\share",
            r"\\?\UNC\\share",
            "1:\\p",
            "é:\\p",
            "CC:\\p",
            "file:///p",
            "http://host/p",
            " /p",
        ] {
            let problem = FolderPath::parse(path).expect_err(path);
            assert!(problem.starts_with("expected an absolute path"), "{path}: {problem}");
        }
        for path in ["/p\0q", "/p\n", "\0", "C:\\p\tq", "/p\u{7F}", "/p\u{85}"] {
            let problem = FolderPath::parse(path).expect_err("is refused");
            assert_eq!(problem, "a path has no control characters");
        }
        let long = "é".repeat(20_000);
        assert!(FolderPath::parse(&long).expect_err("is refused").len() < 200);
    }

    #[test]
    fn a_folder_is_named_after_its_last_part() {
        for (path, name) in [
            ("/home/me/shop", "shop"),
            ("/home/me/shop/", "shop"),
            ("/home/me/shop/.", "shop"),
            ("/home/me/shop/x/..", "shop"),
            ("/home/me/a\\b", "a\\b"),
            ("C:\\Users\\me\\Web", "Web"),
            ("C:/Users/me/Web/", "Web"),
            (r"\\server\share\", "share"),
            ("/", "/"),
            ("C:\\", "C:\\"),
        ] {
            assert_eq!(FolderPath::parse(path).expect("a path").name(), name, "{path}");
        }
    }
}
