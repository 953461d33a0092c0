#!/bin/sh
# The price of some boats: price.sh COUNT
size=@SIZE@
currency=@CURRENCY@
case $size in
    small) each=120 ;;
    large) each=950 ;;
    *) each=100 ;;
esac
echo "$(($1 * each)) $currency"
