"""Display colors of common dyes, fluorescent proteins, laser lines and contrast methods.

A dye has the color of the band with its emission maximum (FPbase lists spectra: https://www.fpbase.org/spectra/): blue
below 465 nm, cyan below 500 nm, green below 525 nm, yellow below 555 nm, orange below 590 nm, red below 640 nm, and
magenta above (far red). A laser line has the color of the dyes that it excites, and "RFP" is red as its name.
Transmitted light is grey, for which viewers have the lookup table white.
"""

from __future__ import annotations

import re
from itertools import pairwise


def color_of_name(name: str) -> str | None:
    """Return the display color of a channel name, None if it is not known.

    Case and punctuation are ignored: ``"Alexa 488"``, ``"AF-488"`` and ``"conf_eGFP 20x"`` are all green.

    Examples
    --------
    >>> color_of_name("DAPI"), color_of_name("Alexa Fluor 647"), color_of_name("my dye")
    ('#0000FF', '#FF00FF', None)
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    # Join adjacent words as well: "Cy 5", "Tx-Red".
    joined = [a + b for a, b in pairwise(words)]
    joined += [a + b + c for a, b, c in zip(words, words[1:], words[2:], strict=False)]
    return next((_COLORS[word] for word in [*joined, *words] if word in _COLORS), None)


_BLUE, _CYAN, _GREEN, _YELLOW = "#0000FF", "#00FFFF", "#00FF00", "#FFFF00"
_ORANGE, _RED, _MAGENTA, _WHITE = "#FF8000", "#FF0000", "#FF00FF", "#FFFFFF"

_COLORS: dict[str, str] = {
    word: color
    for color, words in {
        _BLUE: "dapi hoechst hoechst33342 hoechst33258 bfp ebfp ebfp2 tagbfp mtagbfp2 dylight405 "
        "alexa350 alexa405 alexafluor350 alexafluor405 af405 pacificblue cascadeblue "
        "405 405nm uv",
        _CYAN: "cfp ecfp cerulean mcerulean turquoise mturquoise mturquoise2 mtfp1 445 445nm",
        _GREEN: "gfp egfp sfgfp mgfp mneongreen neongreen mclover clover mstaygold staygold "
        "emerald zsgreen fitc "
        "fluorescein cy2 alexa488 alexafluor488 af488 atto488 dylight488 gcamp gcamp6 gcamp6f "
        "gcamp6s gcamp7f gcamp8m fluo4 calcein sytogreen sytoxgreen oregongreen bodipy "
        "488 488nm 470nm",
        _YELLOW: "yfp eyfp venus mvenus citrine mcitrine ypet 514 514nm alexa532 alexafluor532",
        _ORANGE: "tritc cy3 rhodamine tmr tmrm alexa546 alexa555 alexafluor546 alexafluor555 "
        "af546 af555 atto550 atto565 dsred tdtomato mko mko2 morange 532 532nm 546nm 555nm",
        _RED: "mcherry rfp mrfp mrfp1 tagrfp mscarlet mscarlet3 mruby mruby2 mruby3 mkate mkate2 "
        "texasred txred txr alexa568 alexa594 alexafluor568 alexafluor594 af568 af594 rcamp jrgeco "
        "propidiumiodide cy35 561 561nm 594 594nm",
        _MAGENTA: "cy5 cy55 cy7 alexa633 alexa647 alexa680 alexa750 alexafluor633 alexafluor647 "
        "alexafluor680 alexafluor750 af633 af647 af680 af750 atto633 atto647 atto647n atto655 "
        "sir jf646 irfp irfp670 irfp720 mirfp670 draq5 farred "
        "633 633nm 635 635nm 640 640nm 642nm 647nm",
        _WHITE: "bf brightfield bright white trans transmitted transmission tl dia phase ph phc "
        "phasecontrast ph1 ph2 ph3 dic pol darkfield reflection",
    }.items()
    for word in words.split()
}
