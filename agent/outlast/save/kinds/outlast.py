"""Outlast's own folder: written beside, marked last, renamed into place, never changed afterwards."""

from __future__ import annotations

from pathlib import Path

from outlast.protocol.codec import FormatError
from outlast.protocol.objects import Confidence
from outlast.save.found import Broken, Candidate, Complete, FoundFile, Look, NotYet, Verdict
from outlast.save.generic import torn
from outlast.save.kinds.layout import Layout
from outlast.save.marker import FORMAT, MARKER, folder_name, read_marker, step_of
from outlast.save.naming import kind_text, place_in


class Outlast(Layout):
    name = "outlast"
    strong = True
    may_link = True

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        found = []
        for entry in entries:
            step = step_of(entry.name)
            if step is not None and entry.is_dir() and (entry / MARKER).is_file():
                key = entry.relative_to(root).as_posix()
                found.append(Candidate(kind_text(self.name, key, entry.name), key, step, entry))
        return found

    def complete(self, candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
        del look
        try:
            marker = read_marker((candidate.at / MARKER).read_bytes())
        except FileNotFoundError:
            return NotYet("it was deleted meanwhile")
        except FormatError as error:
            return Broken(f"{MARKER}: {error}")
        if marker.format > FORMAT:
            return Broken(f"{MARKER} has format {marker.format}; this agent knows up to {FORMAT}")
        if marker.step != candidate.step:
            return Broken(f"{MARKER} says step {marker.step}, the folder {candidate.step}")
        sizes = {file.path: file.size for file in files}
        for file in marker.files:
            if sizes.get(file.path) != file.size:
                return Broken(f"{file.path} has {sizes.get(file.path, 'no')} bytes, not {file.size}")
        why = torn(files)
        return Broken(why) if why else Complete(Confidence.STRONG, f"{MARKER} vouches for every file")

    def identity(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> object:
        return (candidate.key, *(file.stamp for file in files if file.path == MARKER))

    def place(self, step: int, kind: str) -> str:
        return place_in(kind, folder_name(step))
