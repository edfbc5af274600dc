"""What may not be in the source: code that runs what a file or a stranger says, shells, unencrypted connections."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sgcli"
SOURCES = sorted(ROOT.rglob("*.py"))
# Calls that run what they are given. `re.compile`, `module.eval()` and the like are other things of the same name.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "pty.spawn",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "dill.load",
    "cloudpickle.load", "joblib.load", "yaml.load", "torch.hub.load", "pandas.read_pickle", "np.lib.npyio.NpzFile",
    "shutil.unpack_archive", "tarfile.open", "zipfile.ZipFile.extractall",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall"}  # of archives: writes where the archive says
FORBIDDEN_MODULES = {"cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "ftplib"}
# torch.distributed sends objects between workers of one run as pickles; they are the run's own.
MAY_SEND_OBJECTS = {"distributed/group.py"}
# It lists the members of a tar, and reads ordinary files in place; nothing is extracted.
MAY_LIST_TARS = {"data/tars.py"}


def problems(path: Path) -> list[str]:
    """Lines such as '12: os.system'."""
    relative = path.relative_to(ROOT).as_posix()
    source = path.read_text()
    asks_for_trust = "--trust" in source and relative.startswith("features/")
    lists_tars = relative in MAY_LIST_TARS and ".extract" not in source
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            forbidden = FORBIDDEN_MODULES - ({"tarfile"} if lists_tars else set())
            found += [f"{line}: import {name}" for name in names if name.split(".")[0] in forbidden]
            if "pickle" in names and (isinstance(node, ast.ImportFrom) or any(alias.asname for alias in node.names)):
                found.append(f"{line}: pickle under another name")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"(http|ftp)://", node.value):
            found.append(f"{line}: {node.value}")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        unsafe = (
            (name in FORBIDDEN and not (lists_tars and name == "tarfile.open"))
            or method in FORBIDDEN_METHODS
            or (name == "torch.load" and options.get("weights_only") != "True")
            or (name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False")
            or (name == "torch.jit.load" and not asks_for_trust)  # TorchScript is code
            or (str(method).endswith(("object", "object_list")) and relative not in MAY_SEND_OBJECTS)
            or options.get("shell", "False") != "False"
        )
        if unsafe:
            found.append(f"{line}: {name}")
    return found


def test_the_walk_finds_what_it_looks_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_security.ROOT", tmp_path)
    bad = [
        "import marshal", "from pickle import loads", "import pickle as p", "pickle.loads(data)", "eval('1')",
        "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)", "os.system(text)", "torch.jit.load(path)",
        "archive.extractall(folder)", "url = 'http://example.org'", "dist.broadcast_object_list(x)",
    ]  # fmt: skip
    for number, line in enumerate(bad):
        (path := tmp_path / f"{number}.py").write_text(line)
        assert problems(path), line
    (path := tmp_path / "good.py").write_text(
        "network.eval()\nre.compile(x)\ntorch.load(p, weights_only=True)\nnp.load(p)"
    )
    assert not problems(path)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source_runs_nothing_it_is_given(path):
    assert not problems(path)
