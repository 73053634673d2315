"""The one compiled module. Everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [Extension("tocsin.ingest.wire.blocks", ["src/tocsin/ingest/wire/blocks.pyx"], extra_compile_args=["-O3"])],
        language_level=3,
    )
)
