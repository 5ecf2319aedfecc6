import pytest
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.scripted import ScriptedLM


def request(doc_id: int = 0, prompt: str = "Say it.") -> Instance:
    return Instance("generate_until", {}, (prompt, {}), 0, ("t", doc_id, 1))


def test_answers_by_document_with_traces(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two {prompt}", "finish": "length"}\n')
    lm = ScriptedLM(responses=str(path))
    texts = lm.generate_until([request(i) for i in range(3)])
    assert texts == ["one", "two Say it.", "one"]
    assert [text.trace.finish for text in texts] == ["eos", "length", "eos"]
    assert bytes(texts[1].trace.tokens).decode() == texts[1]
    assert lm.get_model_info()["decoding"]["finish"] == {"eos": 2, "length": 1}


def test_likelihoods_are_fixed_and_negative():
    pairs = [Instance("loglikelihood", {}, ("a", word), 0, ("t", 0, 1)) for word in ("b", "c")]
    first, second = ScriptedLM().loglikelihood(pairs), ScriptedLM().loglikelihood(pairs)
    assert first == second
    assert all(value < 0 for value, _ in first)
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"txt": 1}', "line 2"),
        ("[1", "line 1"),
        ("", "is empty"),
        ('{"text": "a", "finish": "eoss"}', "did you mean 'eos'"),
    ],
)
def test_a_damaged_script_is_named(tmp_path, content, message):
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        ScriptedLM(responses=str(path))


def test_unknown_arguments_and_missing_files():
    with pytest.raises(UserError, match="did you mean 'responses'"):
        ScriptedLM(response="x")
    with pytest.raises(UserError, match=r"cannot read responses=no.jsonl"):
        ScriptedLM(responses="no.jsonl")
