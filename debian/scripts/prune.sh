#!/bin/sh
# Take out of the virtual environment $1 what a running daemon never uses.
set -eu
cd "$1"

# What installed it. Nothing is ever installed into this environment: the next package replaces it whole.
packages=$(echo lib/python3.*/site-packages)
cd "$packages"
rm -rf pip pip-*.dist-info setuptools setuptools-*.dist-info pkg_resources _distutils_hack distutils-precedence.pth wheel wheel-*.dist-info
# Lists of the files that pip put here, and from where: they are wrong from the next line on.
rm -f -- *.dist-info/RECORD *.dist-info/INSTALLER *.dist-info/REQUESTED *.dist-info/direct_url.json

# Tests of others, and what only they use. (numpy.testing is imported by numpy.)
find . -type d \( -name test -o -name tests \) -prune -exec rm -rf {} +
rm -rf twisted/trial sqlalchemy/testing alembic/testing numpy/conftest.py
rm -f numpy/_core/_*_tests.*.so numpy/_core/_simd.*.so
# What is for compilers, type checkers and builds.
find . -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyi' -o -name '*.a' \
    -o -name '*.in' -o -name 'py.typed' -o -name '.gitignore' -o -name '*.pyc' \) -delete
rm -rf numpy/f2py numpy/distutils numpy/_core/include numpy/_core/lib numpy/random/lib numpy/random/_examples
# Parts of Twisted that are programs of their own: SSH, mail, DNS and chat servers, and what makes their pages.
rm -rf twisted/conch twisted/mail twisted/names twisted/words twisted/pair twisted/runner twisted/positioning
# Their plugins, and those of what is left and not used here: every start of twistd loads what all plugins provide.
find twisted/plugins -name '*.py' ! -name '__init__.py' ! -name 'sdcp*' ! -name twisted_core.py ! -name twisted_reactors.py -delete
find . -depth -type d -empty -delete
# No module is a program here.
find . -name '*.py' -exec chmod a-x {} +
find . -name '*.py' -exec sed -i '1s/^#!.*/#/' {} +

# The programs: twistd runs the daemon, the others are sdcpd's own. The configuration is /etc/sdcpd/sdcpd.toml.
cd - >/dev/null
find bin -mindepth 1 ! -name 'python*' ! -name twistd ! -name 'sdcp-*' -delete
rm -rf etc include share lib64
# It tells the place where the package was built.
sed -i '/^command = /d' pyvenv.cfg
