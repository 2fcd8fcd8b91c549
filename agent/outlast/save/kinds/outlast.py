"""Outlast's own folder: written beside, marked last, renamed into place, never changed afterwards."""

from __future__ import annotations

from pathlib import Path

from outlast.protocol.codec import FormatError
from outlast.protocol.objects import Confidence
from outlast.save.found import Broken, Candidate, Complete, FoundFile, Look, NotYet, Verdict
from outlast.save.generic import torn
from outlast.save.marker import FORMAT, MARKER, folder_name, read_marker, step_of


class Outlast:
    name = "outlast"
    may_link = True

    def candidates(self, root: Path, entries: tuple[Path, ...]) -> list[Candidate]:
        del root
        return [
            Candidate(self.name, entry.name, step_of(entry.name), entry)
            for entry in entries
            if step_of(entry.name) is not None and entry.is_dir() and (entry / MARKER).is_file()
        ]

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

    def folder_name(self, step: int, kind: str) -> str:
        del kind
        return folder_name(step)
