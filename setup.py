"""The compiled modules. Everything else about the package is in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-O3", "-ffp-contract=off"]  # fused multiplications would make other numbers on other machines
SOURCES = sorted(Path("src").rglob("*.pyx"))

setup(
    ext_modules=cythonize(
        [
            Extension(".".join(path.with_suffix("").parts[1:]), [str(path)], extra_compile_args=FLAGS)
            for path in SOURCES
        ],
        language_level=3,
    )
)
