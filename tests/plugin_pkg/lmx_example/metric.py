"""A metric. The decorator tells lm_eval how to average it and which way is up."""

from lm_eval.api.registry import register_metric


@register_metric(metric="vowel_share", higher_is_better=True, aggregation="mean", output_type="generate_until")
def vowel_share(references, predictions):
    """Return the share of vowels in the answer; the reference does not matter."""
    text = predictions[0].lower()
    return sum(text.count(vowel) for vowel in "aeiou") / max(len(text), 1)
