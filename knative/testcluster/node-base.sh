#!/bin/bash
# Writes a base image for servers from npm: this machine's Node.js with what it links, and env, which scripts are started by.
#   node-base.sh ARCHIVE.tar
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT
mkdir -p "$d/root/tmp" && chmod 1777 "$d/root/tmp"
for program in node env; do
  file=$(readlink -f "$(command -v $program)")
  install -D "$file" "$d/root/usr/bin/$program"
  for library in $(ldd "$file" | grep -o '/[^ ]*'); do install -D "$(readlink -f "$library")" "$d/root$library"; done
done
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$d/root" -cf "$d/layer.tar" .
id=$(sha256sum <"$d/layer.tar" | cut -d' ' -f1)
arch=$(uname -m); case $arch in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; esac
echo '{"architecture":"'$arch'","os":"linux","config":{"Env":["PATH=/usr/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$id'"]}}' >"$d/config.json"
echo '[{"Config":"config.json","RepoTags":["dev.local/mcp-node:1"],"Layers":["layer.tar"]}]' >"$d/manifest.json"
tar -C "$d" -cf "$1" manifest.json config.json layer.tar
