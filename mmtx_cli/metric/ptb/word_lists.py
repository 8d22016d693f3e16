"""Word lists of the Penn Treebank tokenizer: abbreviations, and words it splits."""

# Words that are split in two, and the start of the second part.
SPLIT = {
    "cannot": 3,
    "'twas": 2,
    "'tis": 2,
    **dict.fromkeys(("gonna", "gotta", "lemme", "gimme", "wanna"), 3),
}

# Abbreviations that keep their period; a leading capital means that a capital is required.
_MONTHS_AND_DAYS = "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri"
_STATES = (
    "ala ariz Az Ark calif colo conn ct dak Del fla ga Ill ind kan kans ky La Mass md mich minn "
    "Miss mo mont neb nev okla Ore Pa penn tenn Tex va vt Wash wis wisc wyo"
)
_FIRMS = "inc co cos corp ltd plc rt bancorp bhd assn univ intl sys"
_MEASURES = "tel est ext sq etc al seq bldg"
_AFTER_NAMES = "jr sr bros ed.d ph.d blvd rd esq"
_TITLES = (
    "mr mrs ms Miss dr drs prof profs sen sens rep reps atty attys lt col gen messrs gov govs adm "
    "rev maj sgt cpl pvt capt st ste ave pres lieut hon brig cmdr comdr pfc spc supt supts det mt "
    "ft adj adv asst assoc ens insp mlle mme msgr sfc"
)
_OTHERS = "vs alex wm jos cie cf treas ph invt elec natl dept"

# These often end a sentence, so the tokenizer checks what follows.
FINAL = " ".join((_MONTHS_AND_DAYS, _STATES, _FIRMS, _MEASURES, _AFTER_NAMES))
# These do not end a sentence.
MEDIAL = f"{_TITLES} {_OTHERS}"
# These are abbreviations only before a number.
BEFORE_NUMBER = "ca fig figs prop no nos art bldg pp op"

FILE_ENDINGS = (
    "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php "
    "pl png ppt ps py sql tar txt wav x xml zip"
)

# Words after a single letter and a period that indicate that the letter ended its sentence.
OPENERS = (
    "about according additionally after an a as at but earlier he her here however if in it last "
    "many more mr. ms. now once one other our she since so some such that the their then there "
    "these they this we when while what yet you"
)


def any_of(listed: str) -> str:
    """Return a pattern for any of the listed words, case-insensitive except leading capitals."""
    return "|".join(
        (f"{word[0]}(?i:{word[1:]})" if word[0].isupper() else f"(?i:{word})").replace(".", r"\.")
        for word in listed.split()
    )
