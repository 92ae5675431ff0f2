//! The name of a workspace's folder under `agent-sessions`, computed from its path as the IDE does.

/// Returns the folder's name: what is safe of the path's last part, `_`, and six hex digits of a hash.
///
/// The hash runs over the UTF-16 units of the whole path. It is one way: an importer hashes the
/// paths it knows and compares.
pub(super) fn folder_name(path: &str) -> String {
    let mut hash: i32 = 0;
    for unit in path.encode_utf16() {
        hash = (hash << 5).wrapping_sub(hash).wrapping_add(i32::from(unit));
    }
    let digits = format!("{:x}", hash.unsigned_abs());
    let digits = &digits[..digits.len().min(6)];
    // A path that ends in `/` has an empty last part: JavaScript's `||` then takes the next choice.
    let folder = [last_part(path, '/'), last_part(path, '\\')]
        .into_iter()
        .find(|part| !part.is_empty())
        .unwrap_or("unknown");
    let safe: String = folder.encode_utf16().map(safe_char).collect();
    format!("{safe}_{digits}")
}

/// Returns the names of a project's folder: the IDE may have had its path without the last separator.
pub(super) fn folder_names(path: &str) -> Vec<String> {
    let mut names = vec![folder_name(path), folder_name(path.trim_end_matches(['/', '\\']))];
    names.dedup();
    names
}

/// True for a name that has the shape of [`folder_name`], or is the folder for no workspace.
pub(super) fn is_folder_name(name: &str) -> bool {
    let hex = |text: &str| text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    name == NO_WORKSPACE
        || name.rsplit_once('_').is_some_and(|(_, hash)| (1..=6).contains(&hash.len()) && hex(hash))
}

/// The folder of the sessions that were held while no workspace was open.
const NO_WORKSPACE: &str = "_global";

fn last_part(path: &str, separator: char) -> &str {
    path.rsplit(separator).next().unwrap_or_default()
}

/// The IDE replaces each UTF-16 unit by itself, so that a character outside the BMP becomes `__`.
fn safe_char(unit: u16) -> char {
    u8::try_from(unit)
        .map(char::from)
        .ok()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .unwrap_or('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names on the right are what the IDE's own function answered under Node.
    #[test]
    fn names_are_those_of_the_ide() {
        for (path, name) in [
            ("/home/dev/src/rainy-aether", "rainy-aether_616d5d"),
            ("/home/dev/src/web-shop", "web-shop_14fc94"),
            (r"C:\Users\me\proj", "C__Users_me_proj_1adb49"),
            ("/home/dev/rainy-aether", "rainy-aether_757801"),
            ("/", "__2f"),
            ("", "unknown_0"),
            ("/home/me/日本語 🦀/", "_home_me_________35d25f"),
            ("/home/me/日本語 🦀", "_______2b06c9"),
            ("/tmp/a", "a_56c9a2"),
            (r"a\", "a__c1b"),
            ("/home/me/a b.c", "a_b_c_2133a5"),
            ("/srv/x-_Y9", "x-_Y9_6f839b"),
            ("/home/me/web-shop/", "_home_me_web-shop__2c772b"),
        ] {
            assert_eq!(folder_name(path), name, "{path}");
            assert!(is_folder_name(name), "{name}");
        }
    }

    #[test]
    fn a_last_separator_makes_another_name() {
        assert_eq!(folder_names("/home/dev/src/web-shop"), ["web-shop_14fc94"]);
        let both = ["_home_dev_src_web-shop__".to_owned(), "web-shop_14fc94".to_owned()];
        let names = folder_names("/home/dev/src/web-shop/");
        assert!(names[0].starts_with(&both[0]) && names[1] == both[1], "{names:?}");
    }

    #[test]
    fn other_names_are_told_apart() {
        assert!(is_folder_name("_global"));
        for name in ["agent-history", "shop", "shop_", "shop_1234567", "shop_XYZ", "backup_of"] {
            assert!(!is_folder_name(name), "{name}");
        }
    }
}
