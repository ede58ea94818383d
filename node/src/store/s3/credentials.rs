//! Where credentials are taken from. They are named, never written down: a configuration that has a
//! secret in it is refused before it gets here.

use std::path::PathBuf;

use airlift_protocol::error::ErrorCode;
use aws_config::ConfigLoader;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

use super::provider::{Credentials as Variables, Provider};
use crate::store::StoreError;

/// What credentials that come from the environment are called in messages of the SDK.
const PROVIDER_NAME: &str = "environment";

/// A reference to credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CredentialSource {
    /// The variables of the service, where they are set; else where the AWS tools find theirs.
    #[default]
    Standard,
    /// Variables that begin so: `…ACCESS_KEY_ID`, `…SECRET_ACCESS_KEY` and, if set, `…SESSION_TOKEN`.
    Variables(String),
    /// A profile of the AWS tools' files.
    Profile(String),
    /// The default profile of a file in the form of the AWS tools' `credentials`.
    File(PathBuf),
    /// These, as given by whoever opens the store.
    Given(Credentials),
}

impl CredentialSource {
    /// What to do when the credentials are missing or wrong.
    pub(super) fn way_out(&self, provider: &Provider) -> String {
        match self {
            Self::Standard | Self::Given(_) => provider.credentials_way_out(),
            Self::Variables(prefix) => {
                format!("set {prefix}ACCESS_KEY_ID and {prefix}SECRET_ACCESS_KEY")
            }
            Self::Profile(name) => format!("check the profile '{name}' of the AWS tools' files"),
            Self::File(path) => format!("check [default] in {}", path.display()),
        }
    }

    /// `loader` with these credentials, as far as they are not the AWS tools'.
    pub(super) fn load_into(
        &self,
        loader: ConfigLoader,
        provider: &Provider,
    ) -> Result<ConfigLoader, StoreError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Ok(match self {
            Self::Standard => match own(provider, &variable)? {
                Some(credentials) => loader.credentials_provider(credentials),
                None => loader,
            },
            Self::Variables(prefix) => loader.credentials_provider(prefixed(prefix, &variable)?),
            Self::Profile(name) => {
                let found = ProfileFileCredentialsProvider::builder().profile_name(name).build();
                loader.credentials_provider(found)
            }
            Self::File(path) => {
                std::fs::metadata(path).map_err(|error| {
                    StoreError::io("read the credentials in", path.display(), &error)
                })?;
                let files = EnvConfigFiles::builder()
                    .with_file(EnvConfigFileKind::Credentials, path)
                    .build();
                let found = ProfileFileCredentialsProvider::builder()
                    .profile_files(files)
                    .profile_name("default")
                    .build();
                loader.credentials_provider(found)
            }
            Self::Given(credentials) => loader.credentials_provider(credentials.clone()),
        })
    }
}

/// The credentials in the variables of the service.
fn own(
    provider: &Provider,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, StoreError> {
    for Variables { id, secret, token } in provider.credentials {
        let Some(id_text) = variable(id) else { continue };
        let secret_text = variable(secret).ok_or_else(|| unset(id, secret))?;
        let token_text = token.and_then(variable);
        let found = Credentials::new(id_text, secret_text, token_text, None, PROVIDER_NAME);
        return Ok(Some(found));
    }
    Ok(None)
}

fn prefixed(
    prefix: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Credentials, StoreError> {
    let [id, secret, token] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"]
        .map(|name| format!("{prefix}{name}"));
    match (variable(&id), variable(&secret)) {
        (Some(id), Some(secret)) => {
            Ok(Credentials::new(id, secret, variable(&token), None, PROVIDER_NAME))
        }
        (Some(_), None) => Err(unset(&id, &secret)),
        (None, _) => {
            let text = format!("no credentials were found: set {id} and {secret}");
            Err(StoreError::new(ErrorCode::Unauthorized, text))
        }
    }
}

fn unset(id: &str, secret: &str) -> StoreError {
    let text = format!("{id} is set, and {secret} is not: set both, or neither");
    StoreError::new(ErrorCode::Unauthorized, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn the_first_set_of_a_services_own_variables_counts() {
        let oss = Provider::of("oss").unwrap();
        let found = |set| own(oss, &environment(set));
        let pair = found(&[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "general"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x"),
            ("OSS_ACCESS_KEY_ID", "own"),
            ("OSS_ACCESS_KEY_SECRET", "y"),
            ("OSS_SESSION_TOKEN", "z"),
        ]);
        let pair = pair.unwrap().unwrap();
        assert_eq!((pair.access_key_id(), pair.session_token()), ("own", Some("z")));
        let pair = found(&[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "general"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x"),
        ]);
        assert_eq!(pair.unwrap().unwrap().access_key_id(), "general");
        assert!(found(&[("AWS_ACCESS_KEY_ID", "other")]).unwrap().is_none());
        let error = found(&[("OSS_ACCESS_KEY_ID", "own")]).unwrap_err();
        assert!(error.detail().contains("OSS_ACCESS_KEY_SECRET is not"), "{error}");
    }

    #[test]
    fn a_prefix_names_all_three_variables() {
        let found = |set| prefixed("BACKUP_", &environment(set));
        let pair = found(&[
            ("BACKUP_ACCESS_KEY_ID", "id"),
            ("BACKUP_SECRET_ACCESS_KEY", "secret"),
            ("BACKUP_SESSION_TOKEN", "token"),
        ]);
        let pair = pair.unwrap();
        assert_eq!((pair.secret_access_key(), pair.session_token()), ("secret", Some("token")));
        for set in [&[][..], &[("BACKUP_ACCESS_KEY_ID", "id")]] {
            let error = found(set).unwrap_err();
            assert!(error.detail().contains("BACKUP_SECRET_ACCESS_KEY"), "{error}");
        }
    }
}
