//! The file of a new root token: it is safe on the disk before the cluster hears of it, so that nobody is
//! left without one when the answer is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use airlift_protocol::cluster::Secret;

use crate::cli::connect::read_token;
use crate::cli::exit::CliError;
use crate::runtime::cluster::api_token::{draw_root, parse_root};

/// The secret that is to be in force: a new one, which `file` then holds, or the one that it holds already.
///
/// # Errors
/// When there is a file and should be none, or the other way about, or it holds no root token.
pub(super) fn secret(file: &Path, is_there: bool) -> Result<Secret, CliError> {
    if is_there {
        let text = read_token(file)?;
        return parse_root(text.reveal()).ok_or_else(|| {
            let text = format!(
                "{} holds no root token (64 hexadecimal digits): name another file",
                file.display()
            );
            CliError::usage(text)
        });
    }
    let (secret, text) = draw_root();
    write_new(file, &format!("{text}\n")).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::usage(format!(
            "{} is there already: name a file that is not, or, if the token in it is to be in force, \
             add --existing",
            file.display()
        )),
        _ => CliError::cannot_run(format!("write the new token to {}: {error}", file.display())),
    })?;
    Ok(secret)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_token_is_kept_for_its_owner_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("root.token");
        let made = secret(&file, false).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(secret(&file, true).unwrap() == made);
        let refused = secret(&file, false).unwrap_err().to_string();
        assert!(refused.contains("--existing"), "{refused}");
        assert!(secret(&file, true).unwrap() == made);
    }

    #[test]
    fn what_is_no_root_token_is_not_put_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("root.token");
        assert!(secret(&file, true).is_err());
        for text in ["", "everything", "airlift-api1.0707070707070707.x"] {
            std::fs::write(&file, text).unwrap();
            assert!(secret(&file, true).is_err(), "{text}");
        }
    }
}
