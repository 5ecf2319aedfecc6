"""The smallest model there is: it says its prompt again, backwards."""

from lm_eval.api.model import LM


class EchoLM(LM):
    """`--model echo --model_args shout=True`."""

    def __init__(self, shout: bool = False, batch_size: int = 1, max_batch_size=None, device=None):
        super().__init__()
        self.shout = shout

    def generate_until(self, requests, disable_tqdm=False):
        texts = [request.args[0][::-1] for request in requests]
        return [text.upper() for text in texts] if self.shout else texts

    def loglikelihood(self, requests, disable_tqdm=False):
        return [(-float(len(request.args[1])), False) for request in requests]

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return [-float(len(request.args[0])) for request in requests]
