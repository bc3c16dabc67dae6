#!/usr/bin/env bash
# Says loudly, after the tests, if those on MySQL did not run. Go shows nothing of
# tests that were skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

mysqld=${BATON_MYSQLD:-.cache/mysql/bin/mysqld}
if ! command -v mysqlrouter >/dev/null && [[ ! -x ${mysqld%/*}/mysqlrouter ]]; then
	echo '** MYSQL ROUTER WAS NOT TESTED: there is none on this machine.' >&2
fi
if [[ -x $mysqld ]]; then
	exit 0
fi
if command -v mysqld >/dev/null && ! mysqld --no-defaults --version | grep -q MariaDB; then
	exit 0
fi
{
	echo '**********************************************************************'
	echo '** MYSQL WAS NOT TESTED: there is none on this machine.             **'
	echo '** scripts/setup.sh mysql unpacks one; BATON_MYSQLD names another.  **'
	echo '**********************************************************************'
} >&2
