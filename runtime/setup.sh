#!/usr/bin/env bash
# Installs the ONNX Runtime library that the runtime package loads.
#
#   runtime/setup.sh         the library for this machine
#   runtime/setup.sh cuda    the library and the CUDA provider (Linux x64, CUDA 13)
#
# Both are pinned by version and checked by SHA-256, land in the user's cache
# under one atomic rename each, and do nothing when the right file is there.
set -euo pipefail

version=1.29.0
package=onnxruntime-node
integrity='sha512-WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA=='

cuda_version=0.4.9
cuda_package=com.github.asus4.onnxruntime.linux-x64-gpu
cuda_integrity='sha512-FopIhNE/Ng+v2X65wVc9clPCBCvhvA53Hxo2U0Kf5fGdVsC7iCA+mZ0KLWggcQAj7TIZ6pNidR4AC10g74Xo6w=='
cuda_dir=package/Plugins/Linux/x64
cuda_files=(
  'c6a12593396095f5670160e284c35d1700b7708cf3037b7042e2a5200ccae772 libonnxruntime_providers_shared.so'
  '56cf3254b118ad837ccc4ed8f6d1b23504bbf7ef91b34cbc0b289cb7f10b3037 libonnxruntime_providers_cuda.so'
)

releases=https://github.com/microsoft/onnxruntime/releases/download/v$version

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

say() { printf 'setup: %s\n' "$*"; }

have() { command -v "$1" >/dev/null 2>&1; }

# digest BITS FILE prints the file's SHA-2 digest in hex.
digest() {
  if have "sha$1sum"; then
    "sha$1sum" "$2" | cut -d' ' -f1
  elif have shasum; then
    shasum -a "$1" "$2" | cut -d' ' -f1
  else
    fail "sha$1sum or shasum is needed to check what is downloaded"
  fi
}

# right FILE SHA256 says whether the file is there and is the pinned one.
right() { [ -f "$1" ] && [ "$(digest 256 "$1")" = "$2" ]; }

# check FILE SHA256 NAME
check() {
  local got
  got=$(digest 256 "$1")
  [ "$got" = "$2" ] || fail "$3: SHA-256 is $got, expected $2; nothing was installed"
}

# place FILE NAME moves a checked file into the cache under its final name.
# The copy beside the target makes the last step a rename on one file system.
place() {
  local part
  part=$(mktemp "$home/.$2.XXXXXX") || fail "cannot write to $home"
  parts+=("$part")
  cp "$1" "$part"
  chmod 0755 "$part"
  mv -f "$part" "$home/$2"
}

# npm_fetch PACKAGE VERSION INTEGRITY OUT downloads a package without running
# any script of it, and checks the archive against the pinned integrity value.
npm_fetch() {
  local spec=$1@$2 reported file want got
  reported=$(npm view "$spec" dist.integrity 2>"$work/npm.log") ||
    fail "npm view $spec: $(tail -n 1 "$work/npm.log")"
  [ "$reported" = "$3" ] ||
    fail "$spec: npm reports integrity $reported, expected $3"
  say "downloading $spec with npm"
  file=$(cd "$work" && npm pack --silent --ignore-scripts "$spec" 2>"$work/npm.log" | tail -n 1) || true
  [ -n "$file" ] && [ -f "$work/$file" ] ||
    fail "npm pack $spec: $(tail -n 1 "$work/npm.log")"
  want=$(printf %s "${3#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  got=$(digest 512 "$work/$file")
  [ "$got" = "$want" ] || fail "$spec: SHA-512 is $got, expected $want"
  mv "$work/$file" "$4"
}

# release_fetch ASSET SHA256 OUT downloads an archive of the project's releases.
release_fetch() {
  have curl || fail "npm or curl is needed to download ONNX Runtime $version"
  say "downloading $releases/$1"
  curl -fL --retry 2 --silent --show-error -o "$3" "$releases/$1" 2>"$work/curl.log" ||
    fail "cannot download $releases/$1: $(tail -n 1 "$work/curl.log")"
  check "$3" "$2" "$1"
}

install_library() {
  if right "$home/$name" "$sha256"; then
    say "ONNX Runtime $version is in place: $home/$name"
    return
  fi
  # The releases page serves another build of the same version, without the
  # bridge to CUDA: it is trusted by the note left when its archive was checked.
  if [ "$what" != cuda ] && [ -f "$home/$name.sha256" ] && right "$home/$name" "$(cat "$home/$name.sha256")"; then
    say "ONNX Runtime $version is in place: $home/$name"
    return
  fi
  if have npm; then
    npm_fetch "$package" "$version" "$integrity" "$work/library.tgz"
    tar -xzf "$work/library.tgz" -C "$work" "$member" || fail "$package holds no $member"
    check "$work/$member" "$sha256" "$member"
    rm -f "$home/$name.sha256"
  else
    release_fetch "$asset.tgz" "$asset_sha256" "$work/library.tgz"
    member=$asset/lib/$release_name
    tar -xzf "$work/library.tgz" -C "$work" "$member" 2>/dev/null ||
      tar -xzf "$work/library.tgz" -C "$work" "./$member" || fail "$asset.tgz holds no $member"
    digest 256 "$work/$member" >"$work/sha256"
    mv -f "$work/sha256" "$home/$name.sha256"
  fi
  place "$work/$member" "$name"
  say "installed ONNX Runtime $version: $home/$name"
}

install_cuda() {
  local entry sum file missing=
  [ "$platform" = Linux-x86_64 ] || fail "the CUDA provider is installed on Linux x64 only; this is $platform"
  for entry in "${cuda_files[@]}"; do
    right "$home/${entry#* }" "${entry%% *}" || missing=1
  done
  if [ -z "$missing" ]; then
    say "the CUDA provider is in place: $home"
    return
  fi
  have npm || fail "npm is needed to download the CUDA provider; or pass --runtime-library with a GPU build of ONNX Runtime"
  npm_fetch "$cuda_package" "$cuda_version" "$cuda_integrity" "$work/cuda.tgz"
  for entry in "${cuda_files[@]}"; do
    sum=${entry%% *} file=${entry#* }
    tar -xzf "$work/cuda.tgz" -C "$work" "$cuda_dir/$file" || fail "$cuda_package holds no $file"
    check "$work/$cuda_dir/$file" "$sum" "$file"
  done
  for entry in "${cuda_files[@]}"; do
    place "$work/$cuda_dir/${entry#* }" "${entry#* }"
  done
  say "installed the CUDA provider (CUDA 13, cuDNN 9): $home"
}

what=${1:-cpu}
case $what in
  cpu | cuda) ;;
  *) fail "unknown argument \"$what\": none, or cuda" ;;
esac

platform=$(uname -s)-$(uname -m)
case $platform in
  Linux-x86_64)
    member=package/bin/napi-v6/linux/x64/libonnxruntime.so.1
    sha256=89688f5cf51c7e31befbb7b9101bc027799009b18d1baa9a5b1146a72e69538d
    name=libonnxruntime.so.1
    asset=onnxruntime-linux-x64-$version release_name=libonnxruntime.so.$version
    asset_sha256=c3fddc4f139a045b0c4902c57410f0694f1c2fdf9b6939fbe38b1aeae7cd14ba
    ;;
  Linux-aarch64 | Linux-arm64)
    member=package/bin/napi-v6/linux/arm64/libonnxruntime.so.1
    sha256=a27d21126db312aa8f02f3d5eaebe466e991f51f469882e6d0407d5a8b64afda
    name=libonnxruntime.so.1
    asset=onnxruntime-linux-aarch64-$version release_name=libonnxruntime.so.$version
    asset_sha256=e1799098ebc054b370f6176a450f158720f297818c613e5dc99b92e2ec82346f
    ;;
  Darwin-arm64)
    member=package/bin/napi-v6/darwin/arm64/libonnxruntime.$version.dylib
    sha256=3e4c63909e9fc6648c93c68741c1ccf1e3d89218dd1d6a7d4f3d629ffc7f9918
    name=libonnxruntime.1.dylib
    asset=onnxruntime-osx-arm64-$version release_name=libonnxruntime.$version.dylib
    asset_sha256=d0706fc34f315d8c88639d0a8c81f2e09e815f282cabed3493c06a054352cf92
    ;;
  *)
    fail "no ONNX Runtime $version is published for $platform: build it, then pass --runtime-library or set ONNXRUNTIME_SHARED_LIBRARY_PATH"
    ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:?setup: HOME is not set}/.cache}
home=$cache/winnow/onnxruntime/$version
mkdir -p "$home" || fail "cannot create $home"
work=$(mktemp -d)
parts=()
trap 'rm -rf "$work" ${parts[@]+"${parts[@]}"}' EXIT

install_library
if [ "$what" = cuda ]; then
  install_cuda
fi
