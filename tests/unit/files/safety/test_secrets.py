"""Secrets by name and by shape: what is refused, what is left out of a text, and what only looks like one."""

import json
import time

import pytest

from lmx_files.errors import UserError
from lmx_files.safety import secrets

SECRETS = [
    "api_key=abc",
    "token=abcdefg",
    "hf_token=foo",
    "X-Api-Key=fooo",
    "github_pat=p4t",
    "pat=12345",
    "basic_auth=me:pw",
    "authorization=fooo",
    "credentials=fooo",
    "credential_json=fooo",
    "my_token=barr",
    "key=foooo",
    "wandb_key=f00",
    "secret=3344",
    "client_secret=abab",
    "db_password=1234",
    "PASSWD=xyxy",
    "apiKey=xyzz",
    "apitoken=abab",
    "url=https://user:pwd@host/x",
    "url=https://tok123@host/",
    "url=postgres://u:pqp@h:5432/db",
    "any=hf_abcdefghijklmnopqrst",
    "any=sk-abcdefghijklmnop",
    "any=ghp_aaaaaaaaaaaaaaaaaaaaaaaa",
    "user=me:hunter2@example.com",
    "proxy=http://me:p/w@host:80",
    "oauth=xyz",
    "AWS_SECRET_ACCESS_KEY=fooo",
    "AWS_ACCESS_KEY_ID=AAAA",
    "access_tokens=abcd",
    "api_keys=abcd",
    "token_2=abcd",
    "key2=fooo",
    "passphrase=fooo",
    "session_token=fooo",
    "user_token=abcd",
    "db_pass=abcd",
    "base=openai:https://h/v1?token=abcd",
    "url=https://h/x#access_token=abcd",
    "url=https://acc.blob.core.windows.net/c?sig=abcd%3D",
    "webhook=https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "connection=AccountKey=abcd",
    "header=X-Api-Key: abcd",
    "header=authorization: token abcdefghij",
    "header=Cookie: sid=abcd",
    "header=api-key: abcd",
    '"token"=abcd',
    "passcode=abcd",
    "any=basic dXNlcjpwYXNz",
    "any=bearer abc0123456",
    "any=me:hunter2@gpu1:8000",
    "any=gsk_abcdefghijklmnopqrstuvwxyz0123456789",
    "any=xai-abcdefghijklmnopqrstuvwxyz0123456789",
    "any=ASIAIOSFODNN7EXAMPLE",
    "any=ya29.abcdefghijklmnopqrstuvwxyz",
    "any=sk-ant-api03-abcd-efgh",
    "session=8f3a1c",
    "PHPSESSID=8f3a1c",
    "sessionid=8f3a1c",
    "signature=9b1e",
    "url=https://s3.amazonaws.com/b/k?X-Amz-Signature=9b1e44",
    "url=https://acc.blob.core.windows.net/c?SharedAccessSignature=9b1e44",
    "connection=SharedAccessKey=abcd",
    "accountkey=abcd",
    "storage_key=abcd",
    "pin=8731",
    "user_pin=8731",
    "csrf_token=abcd",
    "hmac=abcd",
    "sas=abcd",
]
SETTINGS = [
    "pretrained=x",
    "tokenizer=gpt2",
    "tokenizer_backend=huggingface",
    "max_tokens=100",
    "pin_memory=True",
    "session_name=evening",
    "session_timeout=30",
    "signature_length=64",
    "function_signature=f(x)",
    "num_sessions=3",
    "sigma=0.5",
    "signal=entropy",
    "pinned=yes_please",
    "max_gen_toks=5",
    "eos_token=<|e|>",
    "think_end_token=</think>",
    "eos_token_id=128009",
    "add_bos_token=True",
    "prefix_token_id=2",
    "custom_prefix_token_id=7",
    "key_env=OPENAI_API_KEY",
    "oracle_key_env=ORACLE_KEY",
    "token=True",
    "token=true",
    "use_auth_token=False",
    "num_key_value_heads=4",
    "stop_token_ids=1",
    "image_token_index=32000",
    "skip_special_tokens=true",
    "prompt_cache_key=foo",
    "answer_key=B",
    "author=me",
    "tokenized_requests=False",
    "base=openai:http://localhost:8001/v1#org/model@rev",
    "keyword=x",
    "until=token",
    "path=compat",
    "hub_results_org=foo",
    "push_results_to_hub=True",
    "top_k=5",
    "k=10",
    "pass_at_k=5",
    "tokens=5",
    "dataset=hf_dataset_name",
    "patience=3",
    "max_num_batched_tokens=8192",
    "email=a@b.co",
    "point_of_contact=me@example.com",
    "host=git@github.com:foo/bar",
    "key_dim=128",
    "mask_token=MASK",
    "token_limit=1000",
    "model=ollama:llama3:8b",
    "user_token=<|user|>",
    "pad_token=[PAD]",
    "secretary=foo",
    "k_pass=5",
    "text_key=text",
    "image_key=image",
    "token_level=sentence",
    "separator_token=|",
    "pretrained=org/sk-learn-model-long-name",
    "system=Basic instructions follow",
    "system=a bearer certificate",
    "image=registry:5000/foo@sha256:abc",
    "monkey=abcd",
]


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_is_found_by_name_or_shape_wherever_it_stands(setting):
    name, _, value = setting.partition("=")
    for given in ({name: value}, {"a": [{"b": {name: value}}]}, f"a=1,{setting}", json.dumps({"deep": {name: value}})):
        assert secrets.find(given, "model_args") is not None
        with pytest.raises(UserError) as told:
            secrets.refuse(given, "model_args")
        assert value not in str(told.value)
    assert value not in json.dumps(secrets.redact({"x": [{name: value}]}))
    assert value not in secrets.redact_text(f"it said {setting}, and more")


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_only_looks_like_a_secret_is_left_alone(setting):
    name, _, value = setting.partition("=")
    assert secrets.find({name: value}) is None
    assert secrets.find(setting) is None
    assert secrets.redact({name: value}) == {name: value}
    assert secrets.redact_text(setting) == setting


def test_a_message_keeps_everything_but_the_secret():
    said = """lmx run --hf_hub_log_args token=abcd --gen_kwargs '{"api_key": "zzzz"}' --token qqqq export KEY=..."""
    assert secrets.redact_text(said) == (
        """lmx run --hf_hub_log_args token=[redacted] --gen_kwargs '{"api_key": "[redacted]"}' --token [redacted] """
        "export KEY=..."
    )
    for ours in ("unknown flag '--api-key': did you mean '--samples'?", "unknown argument 'token': did you mean 'x'?"):
        assert secrets.redact_text(ours) == ours


def test_a_long_message_is_looked_through_in_no_time():
    begun = time.process_time()
    for text in ("a." * 50_000, "a" * 100_000, '"a' * 50_000, "a = " * 25_000, "x-" * 50_000, "a:b@" * 25_000):
        secrets.redact_text(text)
    assert time.process_time() - begun < 5


def test_secrets_of_the_environment_are_left_out_of_messages(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "a-value-of-no-known-form")
    assert secrets.redact_text("the server said a-value-of-no-known-form!") == "the server said [redacted]!"


@pytest.mark.parametrize("key", ["first-half\nsecond-half", "first-half\x00second-half", "first-half\u2028second-half"])
def test_a_key_with_a_control_character_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setattr("os.environ", {"OPENAI_API_KEY": key})
    with pytest.raises(UserError, match="OPENAI_API_KEY") as told:
        secrets.key_from("OPENAI_API_KEY")
    assert "half" not in str(told.value)


def test_a_key_is_taken_without_the_blanks_around_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "  sk-something\n")
    assert secrets.key_from("OPENAI_API_KEY") == "sk-something"
    assert secrets.key_from("THERE_IS_NO_SUCH_KEY") == ""
