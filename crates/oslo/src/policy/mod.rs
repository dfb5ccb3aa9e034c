//! `policy.yaml`: who may do what, in the language of `oslo.policy`.

mod check;
mod enforcer;
mod evaluate;
mod file;
#[cfg(test)]
mod oslo_vectors;
mod problem;
mod rule_set;
pub mod rules;
mod sample;
#[cfg(test)]
mod tests;

pub use enforcer::Enforcer;
pub use evaluate::{PolicyCredentials, Target};
pub use problem::{PolicyErrors, Problem};
pub use rule_set::{Decision, Rules};
pub use rules::{RuleDefault, RuleName};
pub use sample::sample;
