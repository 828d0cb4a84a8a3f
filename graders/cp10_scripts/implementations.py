"""Programs that keep the contract of `ranger-journal`, and the same ones with one mistake: what tests are tried on."""

from __future__ import annotations

from dataclasses import dataclass

from graders.cp10_scripts.journal import MASKED, Settings

SHELL = r"""#!/bin/sh
export LC_ALL=C
domaine='{domain}' dossier='{folder}' copies={copies} mot='{word}' config=
erreur() { echo "$1" >&2; exit "${2:-1}"; }
while [ $# -gt 0 ]; do
  case $1 in
    --aide)
      echo "Usage : ranger-journal [--config FICHIER] JOURNAL ; ranger-journal --aide"
      echo "Configuration, une ligne chacun : domaine=, dossier=, copies=, mot="
      exit 0 ;;
    --config) [ $# -ge 2 ] || erreur "--config : fichier attendu" 2; config=$2; shift 2 ;;
    -*) erreur "option inconnue : $1" 2 ;;
    *) break ;;
  esac
done
[ $# -eq 1 ] || erreur "un journal, et un seul" 2
if [ -n "$config" ]; then
  [ -r "$config" ] && [ ! -d "$config" ] || erreur "$config : configuration illisible"
  while IFS= read -r ligne || [ -n "$ligne" ]; do
    case $ligne in
      domaine=*) domaine=${ligne#*=} ;;
      dossier=*) dossier=${ligne#*=} ;;
      copies=*) copies=${ligne#*=} ;;
      mot=*) mot=${ligne#*=} ;;
    esac
  done <"$config"
fi
[ -r "$1" ] && [ ! -d "$1" ] || erreur "$1 : journal illisible"
mkdir -p -- "$dossier" || exit 1
neuf=$(mktemp "$dossier/.journal.XXXXXX") || exit 1
trap 'rm -f -- "$neuf"' EXIT
chmod 644 "$neuf"
FIN="@$domaine" MOT="$mot" awk -F';' '
  NF >= 3 {
    fin = ENVIRON["FIN"]
    if (substr($2, length($2) - length(fin) + 1) != fin) next
    objet = substr($0, length($1) + length($2) + 3)
    if (index(objet, ENVIRON["MOT"])) objet = "{masked}"
    print $1 ";" $2 ";" objet
  }' <"$1" | sort -u >"$neuf"
cmp -s "$neuf" "$dossier/journal.txt" && exit 0
max=$copies
i=$((max > 0 ? max : 1))
while [ -e "$dossier/journal.$i.txt" ]; do rm -- "$dossier/journal.$i.txt"; i=$((i + 1)); done
i=$max
while [ "$i" -gt 1 ]; do
  avant=$((i - 1))
  [ ! -e "$dossier/journal.$avant.txt" ] || mv -- "$dossier/journal.$avant.txt" "$dossier/journal.$i.txt"
  i=$avant
done
[ "$max" -eq 0 ] || [ ! -e "$dossier/journal.txt" ] || mv -- "$dossier/journal.txt" "$dossier/journal.1.txt"
mv -- "$neuf" "$dossier/journal.txt"
"""
PYTHON = r"""#!/usr/bin/python3 -I
import os, sys
r = dict(domaine='{domain}', dossier='{folder}', copies='{copies}', mot='{word}')
a = sys.argv[1:]
if a == ["--aide"]:
    print("ranger-journal [--config FICHIER] JOURNAL\nranger-journal --aide\ndomaine, dossier, copies, mot")
    sys.exit(0)
if a[:1] == ["--config"] and len(a) == 3:
    try:
        for ligne in open(a[1], encoding="utf-8"):
            nom, _, valeur = ligne.rstrip("\n").partition("=")
            if nom in r:
                r[nom] = valeur
    except OSError as p:
        sys.exit(str(p))
    a = a[2:]
if len(a) != 1 or a[0].startswith("-"):
    sys.exit("usage : ranger-journal [--config FICHIER] JOURNAL")
try:
    lignes = open(a[0], encoding="utf-8", newline="\n").read().split("\n")
except OSError as p:
    sys.exit(str(p))
garde = []
for ligne in lignes:
    if ligne.count(";") < 2:
        continue
    date, adresse, objet = ligne.split(";", 2)
    if adresse.endswith("@" + r["domaine"]):
        objet = "{masked}" if r["mot"] and r["mot"] in objet else objet
        garde.append(f"{date};{adresse};{objet}")
texte = "".join(ligne + "\n" for ligne in sorted(set(garde)))
os.makedirs(r["dossier"], exist_ok=True)
os.chdir(r["dossier"])
if os.path.exists("journal.txt") and open("journal.txt", encoding="utf-8", newline="\n").read() == texte:
    sys.exit(0)
copies = int(r["copies"])
noms = ["journal.txt"] + [f"journal.{i}.txt" for i in range(1, copies + 1)]
for ancien, nouveau in reversed(list(zip(noms, noms[1:]))):
    if os.path.exists(ancien):
        os.replace(ancien, nouveau)
while os.path.exists(f"journal.{copies + 1}.txt"):
    copies += 1
    os.remove(f"journal.{copies}.txt")
open("journal.txt", "w", encoding="utf-8", newline="\n").write(texte)
"""


@dataclass(frozen=True)
class Bug:
    """A mistake: `old` of a right program becomes `new`. `label` completes « un programme qui … » (French)."""

    label: str
    old: str
    new: str
    base: str = SHELL


BUGS = (
    Bug("retient un autre domaine de même fin", 'FIN="@$domaine"', 'FIN="$domaine"'),
    Bug("ne trie pas", "sort -u", "awk '!vu[$0]++'"),
    Bug("garde les doublons", "sort -u", "sort"),
    Bug("ne masque pas le mot", 'if (index(objet, ENVIRON["MOT"]))', "if (0)"),
    Bug(
        "retire les lignes à masquer",
        "        objet =",
        "        if r['mot'] in objet: continue\n        objet =",
        PYTHON,
    ),
    Bug("écrase le résultat précédent", '"$dossier/journal.txt" "$dossier/journal.1.txt"', '"$neuf" "$neuf"'),
    Bug("garde une copie de trop", "max=$copies\n", "max=$((copies + 1))\n"),
    Bug("ne garde qu'une copie", 'copies = int(r["copies"])', "copies = 1", PYTHON),
    Bug("tourne les copies sans changement", 'cmp -s "$neuf" "$dossier/journal.txt" && exit 0\n', ""),
    Bug("réussit sur un journal absent", 'erreur "$1 : journal illisible"', '{ echo "$1 : absent" >&2; exit 0; }'),
    Bug("échoue sur un journal vide", "os.makedirs", "texte or sys.exit('rien à ranger')\nos.makedirs", PYTHON),
    Bug("ignore le domaine de la configuration", "domaine=*) domaine=${ligne#*=} ;;", "domaine=*) ;;"),
    Bug("coupe l'objet au point-virgule", "objet = substr($0, length($1) + length($2) + 3)", "objet = $3"),
)


def filled(source: str, settings: Settings) -> str:
    """A program with the branch's values. None of them holds a quote or a backslash (see the lab's values)."""
    for name, value in {"domain": settings.domain, "folder": settings.folder, "copies": settings.copies,
                        "word": settings.word, "masked": MASKED}.items():  # fmt: skip
        source = source.replace(f"{{{name}}}", str(value))
    return source
