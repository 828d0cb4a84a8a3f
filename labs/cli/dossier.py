"""key, dossier, verify: the sealed file of a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labs.cli.options import CandidateOption, JsonOption, LangOption, SessionArg
from labs.errors import InputError, PlateauError

if TYPE_CHECKING:
    from graders.dossier.keys import PublicKey

key = typer.Typer(help="The centre's key, with which dossiers are sealed.", no_args_is_help=True)
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The centre's private key; by default the one made here.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(key, name="key")
    app.command()(dossier)
    app.command()(verify)


@key.command("new")
def new(path: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to put it.")] = None) -> None:
    """Make the centre's key. Give its public half to whoever must verify; keep a copy of the private one."""
    from graders.dossier import DossierError, keys
    from labs.cli.output import out
    from labs.paths import centre_key

    place = path or centre_key()
    try:
        made = keys.new(place)
    except (DossierError, OSError) as problem:
        raise InputError(str(problem)) from None
    out.print(f"private key: {place} (never leaves this machine unprotected)", soft_wrap=True)
    out.print(f"public key:  {place}.pub, number {made.public.id}", soft_wrap=True)


@key.command("show")
def show(path: KeyOption = None) -> None:
    """The public half, as minisign reads it."""
    from graders.dossier import DossierError, keys
    from labs.paths import centre_key

    try:
        typer.echo(keys.load(path or centre_key()).public.text(), nl=False)
    except DossierError as problem:
        raise InputError(str(problem)) from None


def dossier(
    session: SessionArg,
    candidate: CandidateOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Name of the run's folder; the newest by default.")] = None,
    key_file: KeyOption = None,
    json: JsonOption = False,
    lang: LangOption = "fr",
) -> None:
    """Seal each candidate's records, evidence, marks, subject and versions in <candidate>.dossier.zip."""
    from graders import report
    from graders.dossier import SUFFIX, DossierError, collect, keys
    from labs.cli.output import out, print_json
    from labs.cli.runs import documents, open_run
    from labs.models.session import load_session
    from labs.paths import centre_key
    from labs.sessionfiles import write_private

    loaded = load_session(session)
    named = [one.id for one in loaded.select(candidate)] if candidate else None
    folder, recorded = open_run(loaded, run, named)
    chosen = named or [bench.candidate for bench in recorded.benches]
    written = []
    try:
        signer = keys.load(key_file or centre_key())
        # What is sealed says the same as the records and marks that are sealed with it.
        documents(folder, lang, chosen, None, pdf=True)
        for one in chosen:
            _refuse_stale(folder, loaded.path, one)
        sources = report.read(folder)
        for one in chosen:
            path = folder / f"{one}{SUFFIX}"
            write_private(path, collect.build(folder, loaded.folder, one, signer, sources))
            written.append(path)
    except DossierError as problem:
        raise InputError(str(problem)) from None
    except (OSError, ValueError) as problem:
        raise PlateauError(str(problem)) from None
    if json:
        print_json({"key": signer.public.id, "dossiers": [str(path) for path in written]})
        return
    for path in written:
        out.print(str(path), soft_wrap=True)


def _refuse_stale(folder: Path, session: Path, candidate: str) -> None:
    """Raise InputError for a document of one certificate that was made before people decided something."""
    from graders import contest, rubric
    from graders.report import PDF_FOLDER

    decided = (rubric.folder_for(folder) / f"{candidate}.yaml", contest.folder_for(folder) / f"{candidate}.jsonl")
    latest = max((path.stat().st_mtime for path in decided if path.is_file()), default=0.0)
    for path in sorted((folder / PDF_FOLDER).glob(f"{candidate}-CCP*.pdf")):
        if path.stat().st_mtime < latest:
            ccp = path.stem.rpartition("-")[2]
            raise InputError(
                f"{path}: older than what people decided since; plateau report {session} --ccp {ccp} makes it again"
            )


def verify(
    path: Annotated[Path, typer.Argument(metavar="DOSSIER", help="A <candidate>.dossier.zip.")],
    public: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The centre's public key; by default the one made here."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check the seal and make every mark again, offline. Exit status 1: something was changed."""
    import dataclasses
    import tempfile

    from graders.dossier import DossierError
    from graders.dossier import verify as verification
    from graders.report.text import visible
    from labs.cli.output import err, out, print_json

    expected, data = _expected(public), _read(path, "give a <candidate>.dossier.zip, as plateau dossier writes them")
    try:
        with tempfile.TemporaryDirectory(prefix="plateau-verify-") as scratch:
            found = verification.verify(data, Path(scratch), expected)
    except DossierError as problem:
        raise InputError(visible(f"{path}: {problem}")) from None
    if json:
        print_json({**dataclasses.asdict(found), "good": not found.faults})
    else:
        for fault in found.faults:
            err.print(visible(f"{path.name}: {fault}"), markup=False, soft_wrap=True)
        about, marks = found.about, found.marks
        if about and marks:
            whose = f"{about['candidate']}, {about['session']}, run {about['run']}, {found.files} files"
            out.print(visible(whose), markup=False)
            out.print(f"marks made again: {marks['points']:g} / {marks['max_points']:g}", markup=False)
        if not found.faults:
            who = "the centre's key" if found.trusted else "a key that is not known here: compare its number"
            out.print(f"[green]seal intact[/], signed with {who} {found.key}", soft_wrap=True)
    if found.faults:
        raise typer.Exit(1)


def _read(path: Path, way_out: str) -> bytes:
    """A file's bytes. Raises InputError in one line with the way out."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {way_out}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; {way_out}") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); {way_out}") from None


def _expected(path: Path | None) -> PublicKey | None:
    from graders.dossier import DossierError, keys
    from labs.paths import centre_key

    known = path or centre_key().with_name("centre.key.pub")
    if path is None and not known.is_file():
        return None
    content = _read(known, "--key names the centre's public key, which `plateau key show` prints")
    try:
        return keys.read_public(content.decode(), str(known))
    except (UnicodeDecodeError, DossierError):
        raise InputError(f"{known}: not a minisign public key; `plateau key show` prints the centre's") from None
