#!/bin/sh
# The shop's tests: prices are what the price list says.
check() {
    wanted=$1
    got=$(sed "s/@SIZE@/$2/; s/@CURRENCY@/EUR/" src/price.sh | sh -s "$3")
    if [ "$got" != "$wanted" ]; then
        echo "FAILED: $3 $2 boats cost $got instead of $wanted"
        exit 1
    fi
    echo "ok: $3 $2 boats cost $got"
}
check "120 EUR" small 1
check "360 EUR" small 3
check "1900 EUR" large 2
