"""Names of sizes, prices, and which class a pair of names makes."""

import pytest

from lmx_files.errors import UserError
from lmx_models.decoding.guided.policies import PolicyConfig
from lmx_models.servers.server import ServerConfig, reads_distribution
from lmx_models.settings import prices, sizes, user_files


@pytest.fixture(autouse=True)
def no_files(monkeypatch, tmp_path):
    """Without the files of whoever runs the tests."""
    monkeypatch.setattr(user_files.platformdirs, "user_config_path", lambda name: tmp_path / "config")
    for variable in (sizes.VARIABLE, prices.VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


def test_the_published_sizes():
    assert {name: size.endpoint for name, size in sizes.sizes().items()} == {
        "1B": "openai:http://localhost:8001/v1#meta-llama/Llama-3.2-1B-Instruct",
        "3B": "openai:http://localhost:8003/v1#meta-llama/Llama-3.2-3B-Instruct",
        "8B": "openai:http://localhost:8008/v1#meta-llama/Llama-3.1-8B-Instruct",
        "70B": "openai:http://localhost:8070/v1#meta-llama/Llama-3.1-70B-Instruct",
    }
    assert sizes.expand("1B")[1] is None
    assert sizes.expand("tiny-base") == ("tiny-base", None)
    assert sizes.expand(None) == (None, None)


def test_a_users_file_replaces_and_adds_names(no_files, monkeypatch, tmp_path):
    (no_files / "sizes.yaml").write_text(
        "1B: {model: mine, port: 9000, tokenizer: ./tok}\nbig: {model: x, url: 'https://h/v1'}"
    )
    assert sizes.expand("1B") == ("openai:http://localhost:9000/v1#mine", "./tok")
    assert sizes.expand("big") == ("openai:https://h/v1#x", None)
    assert "8B" in sizes.sizes()
    other = tmp_path / "other.yaml"
    other.write_text("1B: {model: other, port: 1}")
    monkeypatch.setenv("LMX_SIZES", str(other))
    assert sizes.expand("1B")[0] == "openai:http://localhost:1/v1#other"
    other.write_text("")
    assert "1B" in sizes.sizes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1B: {model: m}", "size '1B' needs `model` and either `port` or `url`"),
        ("1B: {model: m, port: 1, url: u}", "either `port` or `url`"),
        ("1B: {model: m, prot: 1}", "needs `model`"),
        ("[1, 2]", "write one `NAME:"),
        ("1B: 8001", "write one `NAME:"),
        ("1B: {", "cannot read"),
    ],
)
def test_a_wrong_file_is_one_line(no_files, text, message):
    (no_files / "sizes.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        sizes.sizes()
    assert "\n" not in str(error.value)


def test_a_file_that_is_named_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("LMX_SIZES", str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r"cannot read .*none.yaml \(LMX_SIZES\)"):
        sizes.sizes()


def test_prices_are_the_users_own(no_files):
    assert prices.price_of("m") is None
    assert prices.estimate(None, 10, 10) is None
    (no_files / "prices.yaml").write_text("m: {input: 1.5, output: 6}")
    assert prices.price_of("m") == (1.5, 6.0)
    assert prices.estimate((1.5, 6.0), 2_000_000, 500_000) == 6.0
    for wrong in (
        "m: {input: 1}",
        "m: {input: 1, output: -2}",
        "m: {input: a, output: 2}",
        "m: {input: 1, output: 2, x: 3}",
        "m: {input: 1, output: .nan}",
        "m: {input: .inf, output: 1}",
    ):
        (no_files / "prices.yaml").write_text(wrong)
        with pytest.raises(UserError, match="both per million tokens"):
            prices.price_of("m")


def test_how_far_ahead_a_base_is_asked():
    ramp, fixed, random = PolicyConfig(), PolicyConfig("fixed", every=7), PolicyConfig("random")
    assert [ServerConfig().ahead_for(one, exact=True) for one in (ramp, fixed, random)] == [10, 7, 16]
    assert [ServerConfig().ahead_for(one, exact=False) for one in (ramp, fixed, random)] == [10, 7, 1]
    assert ServerConfig(ahead=3).ahead_for(ramp, exact=True) == 3
    with pytest.raises(UserError, match="cannot be cut"):
        ServerConfig(ahead=3).ahead_for(random, exact=False)


def test_which_settings_read_the_distribution():
    assert reads_distribution(PolicyConfig(), False, None) is None
    assert reads_distribution(PolicyConfig("entropy", threshold=1.0), False, None) == "policy=entropy"
    assert reads_distribution(PolicyConfig("quantile", calibration="f"), False, None) == "policy=quantile"
    assert reads_distribution(PolicyConfig("mine:policy"), True, None) == "policy=mine:policy"
    assert reads_distribution(PolicyConfig(), False, "top_p") == "record=top_p"
    for policy, record in (
        (PolicyConfig("varentropy", threshold=1.0), None),
        (PolicyConfig("quantile", signal="varentropy", calibration="f"), None),
        (PolicyConfig(), "varentropy"),
    ):
        with pytest.raises(UserError, match="varentropy cannot be read"):
            reads_distribution(policy, False, record)
