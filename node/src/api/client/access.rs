//! Asks about API tokens and the audit log.

use reqwest::Method;

use super::{Call, Client, ClientError, Repeat};
use crate::api::access::{
    ApiTokenList, ApiTokenRequest, AuditPage, CreatedApiToken, RootTokenRequest,
};

impl Client {
    /// Makes a token that opens the API.
    ///
    /// # Errors
    /// When no node answers, or the answer is an error. So for all methods.
    pub async fn create_api_token(
        &self,
        request: &ApiTokenRequest,
    ) -> Result<CreatedApiToken, ClientError> {
        self.ask(&Call::order(Method::POST, &["tokens"], Repeat::IfNotDone).with(request)).await
    }

    /// All tokens that open the API, without their secrets.
    ///
    /// # Errors
    /// As [`create_api_token`](Self::create_api_token).
    pub async fn api_tokens(&self) -> Result<ApiTokenList, ClientError> {
        self.ask(&Call::read(&["tokens"])).await
    }

    /// Revokes the API token of this name or id.
    ///
    /// # Errors
    /// As [`create_api_token`](Self::create_api_token).
    pub async fn revoke_api_token(&self, token: &str) -> Result<ApiTokenList, ClientError> {
        self.ask(&Call::order(Method::DELETE, &["tokens", token], Repeat::IfNotDone)).await
    }

    /// Has another token be the root token, in place of the present one.
    ///
    /// # Errors
    /// As [`create_api_token`](Self::create_api_token).
    pub async fn replace_root_token(
        &self,
        request: &RootTokenRequest,
    ) -> Result<RootTokenRequest, ClientError> {
        let path = ["cluster", "root-token"];
        self.ask(&Call::order(Method::POST, &path, Repeat::Freely).with(request)).await
    }

    /// Entries of the audit log from number `from` on, as many as go into one answer.
    ///
    /// # Errors
    /// As [`create_api_token`](Self::create_api_token).
    pub async fn audit(&self, from: u64) -> Result<AuditPage, ClientError> {
        let call = Call { query: Some(("from", from)), ..Call::read(&["audit"]) };
        self.ask(&call).await
    }
}
