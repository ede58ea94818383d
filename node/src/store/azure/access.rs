//! Whose container it is, where it is, and by what right: from the settings and from what the Azure
//! tools read in the environment. Never prints a secret.

use std::fmt;

use airlift_protocol::error::ErrorCode;
use data_encoding::BASE64;

use super::identity::ServicePrincipal;
use super::sign::SharedKey;
use crate::store::StoreError;
use crate::store::http::{is_plain, path};

/// Host names of accounts, where nothing else is said.
const SUFFIX: &str = "core.windows.net";

/// The account of local emulators and its key, which is public and the same everywhere.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// What the environment says of Azure.
#[derive(Clone, Default)]
pub struct AzureEnvironment {
    /// `AZURE_STORAGE_ACCOUNT`.
    pub account: Option<String>,
    /// `AZURE_STORAGE_KEY`.
    pub key: Option<String>,
    /// `AZURE_STORAGE_CONNECTION_STRING`.
    pub connection_string: Option<String>,
    /// `AZURE_STORAGE_SAS_TOKEN`.
    pub sas_token: Option<String>,
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, and what they come with.
    pub principal: ServicePrincipal,
}

impl fmt::Debug for AzureEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureEnvironment").field("account", &self.account).finish_non_exhaustive()
    }
}

impl AzureEnvironment {
    /// What the environment of this process says.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        Self {
            account: variable("AZURE_STORAGE_ACCOUNT"),
            key: variable("AZURE_STORAGE_KEY"),
            connection_string: variable("AZURE_STORAGE_CONNECTION_STRING"),
            sas_token: variable("AZURE_STORAGE_SAS_TOKEN"),
            principal: ServicePrincipal {
                tenant: variable("AZURE_TENANT_ID"),
                client: variable("AZURE_CLIENT_ID"),
                secret: variable("AZURE_CLIENT_SECRET"),
                token_file: variable("AZURE_FEDERATED_TOKEN_FILE"),
            },
        }
    }

    /// By what a container would be reached, for people.
    pub fn kind_of_credentials(&self) -> Option<&'static str> {
        if self.connection_string.is_some() {
            Some("AZURE_STORAGE_CONNECTION_STRING")
        } else if self.key.is_some() {
            Some("AZURE_STORAGE_KEY")
        } else if self.sas_token.is_some() {
            Some("AZURE_STORAGE_SAS_TOKEN")
        } else {
            None
        }
    }
}

/// By what right requests are made.
pub(super) enum Right {
    /// Each request is signed with the account's key.
    Key(SharedKey),
    /// Each URL carries a signature that somebody else made: pairs of a query.
    Sas(Vec<(String, String)>),
    /// Each request carries a token of Entra ID.
    Entra(ServicePrincipal),
}

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Sas(_) => "Sas",
            Self::Entra(_) => "Entra",
        })
    }
}

/// How a container is reached.
#[derive(Debug)]
pub(super) struct Access {
    /// URL of the account, without a slash at its end.
    pub(super) endpoint: String,
    pub(super) right: Right,
}

impl Access {
    /// What the settings say wins over the environment; within that, a connection string wins over
    /// single variables, as it does with the Azure tools.
    ///
    /// # Errors
    /// When no account is named, or two; and when something is not in its form.
    pub(super) fn resolve(
        container: &str,
        account: Option<&str>,
        endpoint: Option<&str>,
        environment: &AzureEnvironment,
    ) -> Result<Self, StoreError> {
        let wrong = |text: String| {
            StoreError::new(ErrorCode::LocationMissing, format!("az://{container}: {text}"))
        };
        let connection = environment.connection_string.as_deref().map(Connection::parse);
        let connection = connection.transpose().map_err(wrong)?.unwrap_or_default();
        let of_environment = connection.account.as_deref().or(environment.account.as_deref());
        if let (Some(set), Some(other)) = (account, of_environment)
            && set != other
            && environment.kind_of_credentials().is_some()
        {
            return Err(wrong(format!(
                "the account is '{set}' by azure.account, and the credentials in the environment \
                 are for '{other}': set one of them only"
            )));
        }
        let account = account.or(of_environment);
        let endpoint = match (endpoint.or(connection.endpoint.as_deref()), account) {
            (Some(endpoint), _) => endpoint.to_owned(),
            (None, Some(account)) => connection.default_endpoint(account),
            (None, None) => {
                return Err(wrong(
                    "no storage account is named: set azure.account or AZURE_STORAGE_ACCOUNT, or \
                     AZURE_STORAGE_CONNECTION_STRING"
                        .to_owned(),
                ));
            }
        };
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !is_plain(&endpoint) {
            let text = "the endpoint is no URL: write https://HOST or http://HOST:PORT/ACCOUNT";
            return Err(wrong(text.to_owned()));
        }
        let right = right(account, &connection, environment).map_err(|text| {
            StoreError::new(ErrorCode::Unauthorized, format!("az://{container}: {text}"))
        })?;
        if matches!(right, Right::Entra(_)) && !endpoint.starts_with("https://") {
            let text = format!(
                "az://{container}: a token of Entra ID must not cross a connection that is not \
                 encrypted: use https://, or AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
            );
            return Err(StoreError::new(ErrorCode::Unauthorized, text));
        }
        Ok(Self { endpoint, right })
    }
}

fn right(
    account: Option<&str>,
    connection: &Connection,
    environment: &AzureEnvironment,
) -> Result<Right, String> {
    let key = |name: &str, key: &str| {
        let account = account.ok_or_else(|| {
            format!("{name} needs an account: set azure.account or AZURE_STORAGE_ACCOUNT")
        })?;
        let key = BASE64.decode(key.trim().as_bytes());
        let key = key.map_err(|_| format!("{name} is no key: it is not base64"))?;
        Ok(Right::Key(SharedKey::new(account, key)))
    };
    if let Some(text) = &connection.key {
        key("AccountKey in AZURE_STORAGE_CONNECTION_STRING", text)
    } else if let Some(token) = &connection.sas_token {
        sas("SharedAccessSignature in AZURE_STORAGE_CONNECTION_STRING", token)
    } else if let Some(text) = &environment.key {
        key("AZURE_STORAGE_KEY", text)
    } else if let Some(token) = &environment.sas_token {
        sas("AZURE_STORAGE_SAS_TOKEN", token)
    } else {
        Ok(Right::Entra(environment.principal.clone()))
    }
}

/// The pairs of a shared access signature.
fn sas(name: &str, token: &str) -> Result<Right, String> {
    let pairs = token.trim().trim_start_matches('?').split('&');
    let pairs: Option<Vec<(String, String)>> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((path::decoded(name)?, path::decoded(value)?))
        })
        .collect();
    match pairs.filter(|pairs| pairs.iter().any(|(name, _)| name == "sig")) {
        Some(pairs) => Ok(Right::Sas(pairs)),
        None => Err(format!("{name} is no shared access signature: it has no sig=")),
    }
}

/// What a connection string says.
#[derive(Default)]
struct Connection {
    account: Option<String>,
    key: Option<String>,
    sas_token: Option<String>,
    endpoint: Option<String>,
    protocol: Option<String>,
    suffix: Option<String>,
}

impl Connection {
    fn parse(text: &str) -> Result<Self, String> {
        let mut connection = Self::default();
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                "AZURE_STORAGE_CONNECTION_STRING is not of the form NAME=VALUE;…".to_owned()
            })?;
            let value = value.trim().to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "accountname" => connection.account = Some(value),
                "accountkey" => connection.key = Some(value),
                "sharedaccesssignature" => connection.sas_token = Some(value),
                "blobendpoint" => connection.endpoint = Some(value),
                "defaultendpointsprotocol" => connection.protocol = Some(value),
                "endpointsuffix" => connection.suffix = Some(value),
                "usedevelopmentstorage" if value.eq_ignore_ascii_case("true") => {
                    connection.account = Some(EMULATOR_ACCOUNT.to_owned());
                    connection.key = Some(EMULATOR_KEY.to_owned());
                    connection.endpoint = Some(EMULATOR_ENDPOINT.to_owned());
                }
                // Endpoints of queues, tables and files are none of ours.
                _ => {}
            }
        }
        Ok(connection)
    }

    fn default_endpoint(&self, account: &str) -> String {
        let protocol = self.protocol.as_deref().unwrap_or("https");
        let suffix = self.suffix.as_deref().unwrap_or(SUFFIX);
        format!("{protocol}://{account}.blob.{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> AzureEnvironment {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        AzureEnvironment::read(move |name| {
            pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
    }

    fn resolve(
        account: Option<&str>,
        endpoint: Option<&str>,
        pairs: &[(&str, &str)],
    ) -> Result<(String, String), String> {
        let access = Access::resolve("c", account, endpoint, &environment(pairs));
        let access = access.map_err(|error| error.to_string())?;
        Ok((access.endpoint, format!("{:?}", access.right)))
    }

    #[test]
    fn the_account_and_the_right_come_from_settings_then_environment() {
        const KEY: (&str, &str) = ("AZURE_STORAGE_KEY", "a2V5");
        const SAS: (&str, &str) = ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=a%2Bb");
        const ACCOUNT: (&str, &str) = ("AZURE_STORAGE_ACCOUNT", "one");
        let string = "AccountName=two;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn";
        let string = ("AZURE_STORAGE_CONNECTION_STRING", string);
        let china = "https://two.blob.core.chinacloudapi.cn";
        for (account, endpoint, pairs, expected) in [
            (None, None, vec![ACCOUNT, KEY], ("https://one.blob.core.windows.net", "Key")),
            (None, None, vec![ACCOUNT, SAS], ("https://one.blob.core.windows.net", "Sas")),
            (None, None, vec![ACCOUNT, KEY, SAS, string], (china, "Key")),
            (Some("two"), None, vec![string], (china, "Key")),
            (Some("x"), None, vec![], ("https://x.blob.core.windows.net", "Entra")),
            (None, Some("http://h:1/a/"), vec![SAS], ("http://h:1/a", "Sas")),
            (Some("a"), Some("http://h:1/a"), vec![KEY], ("http://h:1/a", "Key")),
        ] {
            let (url, right) = expected;
            let expected = Ok((url.to_owned(), right.to_owned()));
            assert_eq!(resolve(account, endpoint, &pairs), expected);
        }
        let local = [("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")];
        assert_eq!(resolve(None, None, &local), Ok((EMULATOR_ENDPOINT.into(), "Key".into())));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_secret() {
        const KEY: (&str, &str) = ("AZURE_STORAGE_KEY", "!secret!");
        let string = ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=two;AccountKey=a2V5");
        for (account, endpoint, pairs, part) in [
            (None, None, vec![], "set azure.account or AZURE_STORAGE_ACCOUNT"),
            (Some("one"), None, vec![KEY], "AZURE_STORAGE_KEY is no key"),
            (None, Some("https://h"), vec![KEY], "AZURE_STORAGE_KEY needs an account"),
            (Some("one"), None, vec![string], "by azure.account"),
            (Some("one"), None, vec![("AZURE_STORAGE_SAS_TOKEN", "secret")], "has no sig="),
            (Some("one"), Some("host"), vec![], "is no URL"),
            (Some("one"), Some("http://h:1/one"), vec![], "must not cross a connection"),
            (None, None, vec![("AZURE_STORAGE_CONNECTION_STRING", "secret")], "NAME=VALUE"),
        ] {
            let text = resolve(account, endpoint, &pairs).unwrap_err();
            assert!(text.contains(part) && !text.contains("secret"), "{text}");
        }
        let debug = format!("{:?}", environment(&[KEY, ("AZURE_CLIENT_SECRET", "secret")]));
        assert!(!debug.contains("secret"), "{debug}");
    }
}
