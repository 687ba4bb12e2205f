#!/usr/bin/env bash
# Looks for inputs that break what the fuzz targets claim, led by what they reach, SECONDS_EACH on each target:
#
#   scripts/fuzz.sh [TARGET...]     one or more of the modules of fuzz/src; all of them unless said
#   KEEP=1 scripts/fuzz.sh ...      what reached something new joins the kept corpus, made as small as it goes
#
# What breaks a claim is left in fuzz/src/__fuzz__/TARGET__target/crashes: from then on `cargo test` tries it too, and
# fails until it is mended. A mended one moves into the corpus beside it.
set -euo pipefail

cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60}
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    for file in fuzz/src/*.rs; do
        name=$(basename "$file" .rs)
        [[ $name == lib ]] || targets+=("$name")
    done
fi

bolero=(--package claviger-fuzz --engine libfuzzer --sanitizer NONE --target-dir target/fuzz)
broken=()
for target in "${targets[@]}"; do
    kept=fuzz/src/__fuzz__/${target}__target
    # Beside the kept ones, so that a run changes no file of the repository unless it finds something.
    found=$PWD/target/fuzz/corpus/$target
    mkdir -p "$kept/corpus" "$kept/crashes" "$found"
    cp -r "$kept/corpus/." "$found/"
    scripts/say.sh "$target: ${seconds} s, beginning with $(find "$found" -type f | wc -l) inputs"
    cargo bolero test "$target::target" "${bolero[@]}" -T "${seconds}s" \
        --corpus-dir "$found" --crashes-dir "$PWD/$kept/crashes" || broken+=("$target")
    if [[ -n ${KEEP:-} ]]; then
        cp -r "$found/." "$kept/corpus/"
        cargo bolero reduce "$target::target" "${bolero[@]}" --engine-args=-use_counters=0
    fi
    rmdir --ignore-fail-on-non-empty "$kept/crashes"
done

if [[ ${#broken[@]} -gt 0 ]]; then
    echo "error: broken: ${broken[*]}" >&2
    echo "hint: the inputs are in fuzz/src/__fuzz__/*/crashes; \`cargo test -p claviger-fuzz\` shows what they break" >&2
    exit 1
fi
