"""American and British spelling. The lists are our own; words that only one direction can tell are in that one alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from harness.text.feature import lexicon
from harness.text.substitution import substitute
from harness.text.transform import transform

OUR = lexicon("""
    colour colours coloured colouring colourful colourfully colourless discolour discoloured multicoloured
    watercolour watercolours favour favours favoured favouring favourable favourably unfavourable favourite favourites
    favouritism flavour flavours flavoured flavouring flavourings flavourful flavourless honour honours honoured
    honouring honourable honourably dishonour dishonourable humour humoured labour labours laboured labouring labourer
    labourers neighbour neighbours neighbouring neighbourly neighbourhood neighbourhoods rumour rumours rumoured harbour
    harbours harboured harbouring behaviour behaviours behavioural behaviourally misbehaviour saviour saviours vapour
    vapours vigour valour odour odours odourless parlour parlours rancour savour savoured savouring savoury splendour
    tumour tumours armour armoured armoury ardour candour clamour clamouring demeanour endeavour endeavours endeavoured
    endeavouring fervour succour arbour arbours enamoured
""")
ISE = lexicon("""
    agon alphabet american anonym antagon apolog author autom bapt brutal canon capital categor central character
    civil colon commercial computer conceptual criminal critic crystall custom decentral dehuman demon
    deodor digit dramat econom emphas energ epitom equal eulog familiar fantas fertil final formal fratern galvan general
    global glamor harmon homogen hospital hypnot hypothes ideal immobil immun incentiv individual
    industrial initial institutional internal international italic item jeopard legal local magnet marginal material maxim
    mechan memor mesmer minim mobil modern monet monopol moral motor national natural neutral normal optim organ
    ostrac oxid pasteur patron penal personal plagiar polar popular priorit privat public pulver random rational real
    recogn reorgan revital revolution ritual romantic sanit scrutin sensit serial sexual social special stabil standard
    steril stigmat strateg subsid summar symbol sympath synchron synthes system tantal terror theor total traumat trivial
    union urban util vandal vapor verbal victim visual vocal western woman
""")
ISE_ENDS = ("ise", "ises", "ised", "ising", "iser", "isers", "isation", "isations")
DOUBLED = lexicon("""
    barrel bevel cancel carol channel chisel counsel dial dishevel duel enamel equal fuel funnel grovel initial jewel
    label level libel marvel medal model panel parcel pedal pencil pummel quarrel refuel relabel remodel revel rival
    shovel shrivel signal snorkel spiral stencil swivel total towel travel tunnel unravel yodel
""")
DOUBLED_ENDS = ("ed", "ing", "er", "ers", "ings")
CENTRE = lexicon("""
    centre theatre amphitheatre fibre litre millilitre centilitre kilometre centimetre millimetre nanometre calibre
    lustre sombre spectre meagre sabre epicentre
""")
BOTH = lexicon("""
    centred/centered centring/centering defence/defense defences/defenses defenceless/defenseless offence/offense
    offences/offenses pretence/pretense pretences/pretenses grey/gray greys/grays greyish/grayish greying/graying
    greyed/grayed analyse/analyze analysed/analyzed analysing/analyzing analyser/analyzer analysers/analyzers
    paralyse/paralyze paralysed/paralyzed paralysing/paralyzing catalyse/catalyze catalysed/catalyzed
    catalysing/catalyzing practised/practiced practising/practicing fulfil/fulfill fulfils/fulfills
    fulfilment/fulfillment instalment/installment instalments/installments enrol/enroll enrols/enrolls
    enrolment/enrollment enrolments/enrollments skilful/skillful skilfully/skillfully wilful/willful wilfully/willfully
    instil/instill instils/instills distil/distill distils/distills marvellous/marvelous marvellously/marvelously
    woollen/woolen jewellery/jewelry counsellor/counselor counsellors/counselors panellist/panelist
    panellists/panelists ageing/aging cosy/cozy cosier/cozier pyjamas/pajamas moustache/mustache moustaches/mustaches
    manoeuvre/maneuver manoeuvres/maneuvers manoeuvred/maneuvered manoeuvring/maneuvering sceptic/skeptic
    sceptics/skeptics sceptical/skeptical sceptically/skeptically scepticism/skepticism aluminium/aluminum
    aeroplane/airplane aeroplanes/airplanes artefact/artifact artefacts/artifacts plough/plow ploughs/plows
    ploughed/plowed ploughing/plowing snowplough/snowplow mould/mold moulds/molds mouldy/moldy moulded/molded
    moulding/molding smoulder/smolder smouldering/smoldering sulphur/sulfur sulphate/sulfate sulphates/sulfates
    sulphide/sulfide sulphuric/sulfuric maths/math mollusc/mollusk molluscs/mollusks tranquillity/tranquility
    anaemia/anemia anaemic/anemic anaesthesia/anesthesia anaesthetic/anesthetic anaesthetics/anesthetics
    haemoglobin/hemoglobin haemorrhage/hemorrhage haemorrhages/hemorrhages haemorrhaging/hemorrhaging
    haemophilia/hemophilia haemorrhoids/hemorrhoids leukaemia/leukemia paediatric/pediatric paediatrics/pediatrics
    paediatrician/pediatrician paediatricians/pediatricians gynaecology/gynecology gynaecologist/gynecologist
    gynaecologists/gynecologists orthopaedic/orthopedic orthopaedics/orthopedics palaeontology/paleontology
    palaeontologist/paleontologist palaeontologists/paleontologists faeces/feces faecal/fecal diarrhoea/diarrhea
    oestrogen/estrogen oesophagus/esophagus oedema/edema foetus/fetus foetuses/fetuses foetal/fetal
""")
BRITISH_ONLY = lexicon("""
    analogue/analog catalogue/catalog catalogues/catalogs catalogued/cataloged cheque/check cheques/checks
    chequebook/checkbook draught/draft draughty/drafty encyclopaedia/encyclopedia encyclopaedias/encyclopedias gaol/jail
    kerb/curb kerbs/curbs learnt/learned licence/license licences/licenses mediaeval/medieval metre/meter metres/meters
    practise/practice practises/practices programme/program programmes/programs storey/story storeys/stories tyre/tire
    tyres/tires yoghurt/yogurt yoghurts/yogurts
""")
"""British words whose American form has another use, in which the British write it like that too."""

AMERICAN_ONLY = lexicon("analyses/analyzes paralyses/paralyzes catalyses/catalyzes")
"""Verbs whose British form is a plural noun as well."""


def _pairs(listed: Iterable[str]) -> list[tuple[str, str]]:
    return [(british, american) for british, american in (pair.split("/") for pair in sorted(listed))]


def _ruled() -> list[tuple[str, str]]:
    return [
        *((word, word.replace("our", "or", 1)) for word in sorted(OUR)),
        *((stem + end, stem + end.replace("is", "iz", 1)) for stem in sorted(ISE) for end in ISE_ENDS),
        *((f"{stem}l{end}", stem + end) for stem in sorted(DOUBLED) for end in DOUBLED_ENDS),
        *((stem + plural, f"{stem[:-2]}er{plural}") for stem in sorted(CENTRE) for plural in ("", "s")),
    ]


TO_AMERICAN: Mapping[str, str] = dict([*_ruled(), *_pairs(BOTH), *_pairs(BRITISH_ONLY)])
TO_BRITISH: Mapping[str, str] = {
    american: british for british, american in [*_ruled(), *_pairs(BOTH), *_pairs(AMERICAN_ONLY)]
}

SPELLED = re.compile(r"(?<![\w@#/\\.$])[A-Za-z]+(?![\w@/\\\[({=]|[.:]\w)")
"""A whole word that looks like no part of a name in code, an address or a file."""

FRENCH = re.compile(r"\b(?:avec|dans|des|du|est|et|les|pour|que|qui|sur|une)\b")
FRENCH_WORDS = 3
"""How many different ones make a text French, which has its own `organisation` and `centre`; `et al.` is English."""

SENTENCE_START = re.compile(r"(?:\A|[.!?:][\"”')*_]*\s+|\n)[\s>*_#\"“(•-]*(?:\d{1,3}[.)]\s+)?[*_\"“]*\Z")
BEFORE = 20
"""How many characters in front of a word tell whether a sentence begins there."""


@transform("core", preserves=("digits", "urls", "code", "quotes", "negations"), idempotent=True)
def american(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """British spellings as Americans write them; names stay, and replies in French."""
    if len(set(FRENCH.findall(reply))) >= FRENCH_WORDS:
        return None
    return _respelled(reply, TO_AMERICAN)


@transform("core", preserves=("digits", "urls", "code", "quotes", "negations"), idempotent=True)
def british(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """American spellings as the British write them; names stay."""
    return _respelled(reply, TO_BRITISH)


def _respelled(text: str, table: Mapping[str, str]) -> str:
    def respelled(match: re.Match[str]) -> str:
        """The word of the table in the capitals of the word found."""
        word = match[0]
        other = table.get(word.lower())
        if other is None or word.islower():
            return other or word
        if word.isupper():
            return other.upper()
        return other.capitalize() if word.istitle() and not _named(match) else word

    return substitute(SPELLED, respelled, text)


def _named(match: re.Match[str]) -> bool:
    """Whether a word with a capital is part of a name, not the first of a sentence."""
    text, start = match.string, match.start()
    opens = start == 0 or SENTENCE_START.search(text[max(0, start - BEFORE) : start]) is not None
    return not opens or re.match(r"\s+[A-Z]", text[match.end() :]) is not None
