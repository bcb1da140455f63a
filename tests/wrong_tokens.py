"""A stand-in that writes a given text, but for a token of seven another one.

Its choice is made for it: the other token is one that min_p forbids, or the one that ends an
answer.
"""

from tests.servers import Server

TEXT = """Namaste: नमस्ते, দুনিয়া! \N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} \
\N{FAMILY}\N{ZERO WIDTH JOINER}\N{ROCKET}

```python
def greet(name: str) -> str:
\treturn f"¡Hola, {name}!  \\u2014 naïve"   # spaces  stay
```

The end is near\N{HORIZONTAL ELLIPSIS} and then it goes on for a while."""
_PROGRAM = f"""
import math, random
from tests.stand_in import __main__, sampling
from tests.stand_in.text import Text

text = Text.load(__main__.MODEL)
mark = "<|assistant|>\\n"
answer = text.encode({TEXT!r}, special=False)
places = {{text.decode(answer[:count]): count for count in range(len(answer) + 1)}}
begin = sampling.Chooser.__init__

def init(self, asked, prompt, vocabulary):
    begin(self, asked, prompt, vocabulary)
    self.chance = random.Random(asked.seed)
    self.size = vocabulary
    self.place = places.get(text.decode(prompt).rpartition(mark)[2])

def choose(self, logits, top=0):
    right = 2 if self.place in (None, len(answer)) else answer[self.place]
    wrong = self.chance.choice((2, self.chance.randrange(3, self.size)))
    wrong = 3 if wrong == right else wrong
    token, other = (wrong, right) if self.chance.random() < 1 / 7 else (right, wrong)
    self.place = self.place + 1 if self.place is not None and token == right else None
    known = ((right, math.log(0.95)), (wrong, math.log(0.05)))
    return sampling.Choice(token, dict(known)[token], known)

sampling.Chooser.__init__, sampling.Chooser.choose = init, choose
__main__.main(["--port", "0", "--max-top-n-tokens", "20"])
"""


def wrong_tokens() -> Server:
    """It listens once it is entered."""
    return Server(["-c", _PROGRAM])
