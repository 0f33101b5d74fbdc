//! Recognises, by fields of the signed body, the events whose bodies may honestly repeat.

use super::draft::Draft;
use crate::provider::{pick::Picks, preset::EventShape};

/// The member of a body that refines its event.
const ACTION: &str = "/action";

/// Which bodies may honestly repeat although the preset says `body: unique`.
#[derive(Default)]
pub enum Repeatable {
    /// None.
    #[default]
    Never,
    /// Those of one of these shapes (`repeatable_events`).
    Listed(Vec<Shape>),
    /// All but those of one of these shapes (`unique_events`).
    Unless(Vec<Shape>),
}

/// The pointers that a body must and must not have, and the values that its action may have.
pub struct Shape {
    present: Vec<usize>,
    absent: Vec<usize>,
    action: Option<Action>,
}

/// The slot of `/action` and its values.
struct Action {
    slot: usize,
    values: Vec<String>,
}

impl Repeatable {
    /// Does the body prove that its event may honestly repeat? `None`: no body was read.
    pub fn holds(&self, picks: Option<&Picks<'_>>) -> bool {
        let any = |shapes: &[Shape]| picks.is_some_and(|picks| shapes.iter().any(|shape| shape.fits(picks)));
        match self {
            Self::Never => false,
            Self::Listed(shapes) => any(shapes),
            Self::Unless(shapes) => !any(shapes),
        }
    }
}

impl Shape {
    fn fits(&self, picks: &Picks<'_>) -> bool {
        let there = |slot: &usize| picks.slot(*slot).value().is_some();
        self.action.as_ref().is_none_or(|action| action.fits(picks))
            && self.present.iter().all(there)
            && !self.absent.iter().any(there)
    }
}

impl Action {
    fn fits(&self, picks: &Picks<'_>) -> bool {
        let text = picks.slot(self.slot).value().and_then(|value| value.text());
        text.is_some_and(|text| self.values.iter().any(|known| *known == text))
    }
}

impl Draft<'_> {
    pub(super) fn repeatable(&mut self) -> Repeatable {
        let preset = self.preset;
        if preset.unique_events.is_empty() {
            if preset.repeatable_events.is_empty() {
                return Repeatable::Never;
            }
            return Repeatable::Listed(self.shapes("repeatable_events", &preset.repeatable_events));
        }
        if !preset.repeatable_events.is_empty() {
            self.problem(
                "/verify/unique_events",
                "`unique_events` and `repeatable_events` exclude each other",
                Some("list the events that are fewer"),
            );
        }
        Repeatable::Unless(self.shapes("unique_events", &preset.unique_events))
    }

    fn shapes(&mut self, list: &str, rules: &[EventShape]) -> Vec<Shape> {
        let mut shapes = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("/verify/{list}/{index}/fields");
            let mut slots = |pointers: &[String]| {
                let mut slots = Vec::new();
                for pointer in pointers {
                    let slot = self.known.add(pointer);
                    slots.extend(self.kept(&at, slot));
                }
                slots
            };
            let (present, absent) = (slots(&rule.fields), slots(&rule.absent));
            let action = (!rule.actions.is_empty()).then(|| slots(&[ACTION.to_owned()]));
            let action = action.and_then(|slots| slots.first().copied()).map(|slot| Action {
                slot,
                values: rule.actions.clone(),
            });
            if present.is_empty() {
                self.problem(
                    &at,
                    "name body fields that prove this event: its header alone is not signed",
                    None,
                );
            } else {
                shapes.push(Shape {
                    present,
                    absent,
                    action,
                });
            }
        }
        shapes
    }
}
