//! Budgets of jobs in the API: what clients ask for, and what they are shown.

use airlift_protocol::budget::{Budget, Money, Price, Prices, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// A budget as a client asks for it. What is not given is not bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetRequest {
    /// Bytes that the job may read.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Requests to stores that it may make.
    #[serde(default)]
    pub requests: Option<u64>,
    /// What it may cost: digits, and up to six behind a point.
    #[serde(default)]
    pub money: Option<String>,
    /// By which prices; those that the job has when none are given.
    #[serde(default)]
    pub prices: Option<PricesText>,
}

/// What the stores at the two ends charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricesText {
    /// The store at the source.
    #[serde(default)]
    pub source: PriceText,
    /// The store at the target.
    #[serde(default)]
    pub target: PriceText,
}

/// What a store charges, as amounts of money; what is not given is free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceText {
    /// For each GB (10^9 bytes) that leaves it.
    #[serde(default)]
    pub egress_per_gb: Option<String>,
    /// For each thousand requests.
    #[serde(default)]
    pub requests_per_1000: Option<String>,
}

/// A budget, and what was used of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetView {
    /// Bytes.
    pub bytes: Option<Part<u64>>,
    /// Requests.
    pub requests: Option<Part<u64>>,
    /// Money.
    pub money: Option<Part<String>>,
}

/// One part of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part<T> {
    /// The most.
    pub limit: T,
    /// What was used, as far as nodes have said it.
    pub used: T,
}

impl BudgetView {
    /// What is shown of a budget; `None` where there is none.
    pub fn of(budget: &Budget, used: Usage) -> Option<Self> {
        let part = |limit, used| Part { limit, used };
        (!budget.is_empty()).then(|| Self {
            bytes: budget.bytes.map(|limit| part(limit, used.bytes())),
            requests: budget.requests.map(|limit| part(limit, used.requests())),
            money: budget.money.as_ref().map(|(limit, prices)| Part {
                limit: limit.to_string(),
                used: used.cost(prices).to_string(),
            }),
        })
    }
}

impl BudgetView {
    /// How much of each part was used; 1 is all of it.
    pub fn used_ratios(&self) -> Vec<(&'static str, f64)> {
        let ratio = |used: f64, limit: f64| if limit > 0.0 { used / limit } else { 1.0 };
        let whole = |part: &Part<u64>| ratio(part.used as f64, part.limit as f64);
        let number = |text: &str| text.parse::<f64>().unwrap_or_default();
        let parts = [
            ("bytes", self.bytes.as_ref().map(whole)),
            ("requests", self.requests.as_ref().map(whole)),
            (
                "money",
                self.money.as_ref().map(|part| ratio(number(&part.used), number(&part.limit))),
            ),
        ];
        parts.into_iter().filter_map(|(name, ratio)| Some((name, ratio?))).collect()
    }
}

impl From<&Budget> for BudgetRequest {
    fn from(budget: &Budget) -> Self {
        let money = budget.money.as_ref();
        Self {
            bytes: budget.bytes,
            requests: budget.requests,
            money: money.map(|(money, _)| money.to_string()),
            prices: money.map(|(_, prices)| PricesText::from(prices)),
        }
    }
}

impl From<&Prices> for PricesText {
    fn from(prices: &Prices) -> Self {
        let price = |price: &Price| PriceText {
            egress_per_gb: Some(price.egress_per_gb.to_string()),
            requests_per_1000: Some(price.requests_per_1000.to_string()),
        };
        Self { source: price(&prices.source), target: price(&prices.target) }
    }
}

impl BudgetRequest {
    /// The budget that is asked for; `prices` are those that the job has.
    ///
    /// # Errors
    /// When an amount is none, or a budget of money comes without prices, or with none but 0.
    pub fn budget(&self, prices: Option<&Prices>) -> Result<Budget, ApiError> {
        if self.money.is_none() && self.prices.is_some() {
            return Err(ApiError::invalid("prices without a budget of money say nothing"));
        }
        let given = self.prices.as_ref().map(PricesText::parse).transpose()?;
        let money = match &self.money {
            None => None,
            Some(text) => {
                let prices = given.or_else(|| prices.copied()).ok_or_else(|| {
                    ApiError::invalid(
                        "a budget of money needs prices: what a GB and a thousand requests cost at each end",
                    )
                })?;
                let most = money(text)?;
                if prices == Prices::default() {
                    return Err(ApiError::invalid(
                        "a budget of money bounds nothing where all prices are 0: say what a GB or a thousand \
                         requests cost at one of the ends, or leave money out",
                    ));
                }
                Some((most, prices))
            }
        };
        Ok(Budget { bytes: self.bytes, requests: self.requests, money })
    }
}

impl PricesText {
    fn parse(&self) -> Result<Prices, ApiError> {
        Ok(Prices { source: self.source.parse()?, target: self.target.parse()? })
    }
}

impl PriceText {
    fn parse(&self) -> Result<Price, ApiError> {
        let amount =
            |text: &Option<String>| text.as_deref().map_or_else(|| Ok(Money::default()), money);
        Ok(Price {
            egress_per_gb: amount(&self.egress_per_gb)?,
            requests_per_1000: amount(&self.requests_per_1000)?,
        })
    }
}

fn money(text: &str) -> Result<Money, ApiError> {
    text.parse::<Money>().map_err(|error| ApiError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budget, String> {
        let request: BudgetRequest =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        request.budget(None).map_err(|error| error.detail)
    }

    #[test]
    fn budgets_arrive_as_they_were_asked_for() {
        let text = r#"{"bytes":5,"money":"250","prices":{"source":{"egress_per_gb":"0.09"}}}"#;
        let budget = read(text).unwrap();
        let (money, prices) = budget.money.unwrap();
        assert_eq!((money, prices.source.egress_per_gb), (Money(250_000_000), Money(90_000)));
        assert_eq!(BudgetRequest::from(&budget).budget(None), Ok(budget));
        let more = BudgetRequest { money: Some("300".to_owned()), ..BudgetRequest::default() };
        assert_eq!(more.budget(Some(&prices)).unwrap().money, Some((Money(300_000_000), prices)));
    }

    #[test]
    fn what_is_no_budget_is_refused_with_a_reason() {
        for (text, expected) in [
            (r#"{"money":"250"}"#, "needs prices"),
            (r#"{"money":"much","prices":{}}"#, "'much' is no amount of money"),
            (r#"{"money":"250","prices":{}}"#, "bounds nothing where all prices are 0"),
            (r#"{"money":"250","prices":{"source":{"egress_per_gb":"0"}}}"#, "or leave money out"),
            (r#"{"prices":{}}"#, "prices without a budget"),
            (r#"{"megabytes":5}"#, "unknown field"),
        ] {
            assert!(read(text).unwrap_err().contains(expected), "{text}");
        }
    }

    #[test]
    fn what_is_used_is_shown_beside_what_may_be() {
        let prices = Prices {
            source: Price { egress_per_gb: Money(90_000), ..Price::default() },
            target: Price::default(),
        };
        let budget =
            Budget { bytes: None, requests: Some(9), money: Some((Money(1_000_000), prices)) };
        let used = Usage { source_bytes: 2_000_000_000, source_requests: 3, ..Usage::default() };
        let view = BudgetView::of(&budget, used).unwrap();
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "bytes": null, "requests": { "limit": 9, "used": 3 }, "money": { "limit": "1.00", "used": "0.18" },
            })
        );
        assert_eq!(view.used_ratios(), [("requests", 3.0 / 9.0), ("money", 0.18)]);
        assert_eq!(BudgetView::of(&Budget::default(), used), None);
    }
}
