//! "Did you mean": the nearest of some known words.

/// No word that is known is as long, bytes.
const LONGEST: usize = 256;

/// The known word that `word` was probably meant to be.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let flat = |text: &str| text.to_lowercase().replace('_', "-");
    // Nothing known is near it, and the distance would cost the product of the lengths.
    if word.len() > LONGEST {
        return None;
    }
    let word = flat(word);
    // A third of the word may be wrong: more would propose words that merely share a few letters.
    let limit = (word.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &flat(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b`, `c`.
pub(super) fn listed<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    known
        .into_iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The hint under an unknown word: the nearest known one, else all of them.
pub(super) fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", listed(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_proposed() {
        let known = ["github", "gitlab-token", "stripe", "connect_wait"];
        assert_eq!(nearest("gihub", known), Some("github"));
        assert_eq!(nearest("Stripe", known), Some("stripe"));
        assert_eq!(nearest("connect-wait", known), Some("connect_wait"));
        assert_eq!(nearest("paypal", known), None);
        assert_eq!(nearest(&"x".repeat(10 << 20), known), None);
        assert_eq!(hint("x", ["a", "b"]), "did you mean `a`?");
    }
}
