# Sourced: the External Secrets operator, from its Go module, pinned with its checksum.
#
# eso_crds prints the folder of its types, in the version that terraform/knative installs. eso_build builds the operator
# into a file: the newest version whose module is whole (later ones are made of modules that no proxy has), with its provider
# of AWS alone, which takes two minutes on two cores instead of fifteen. It reads and writes the same v1.
eso_module() { # version sum
  local said
  said=$(cd / && go mod download -json "github.com/external-secrets/external-secrets@$1")
  grep -q "\"Sum\": \"$2\"" <<<"$said" || { echo "external-secrets $1 is not what was pinned: $said" >&2; return 1; }
  sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$said"
}
eso_crds() { echo "$(eso_module v1.3.2 h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=)/config/crds/bases"; }
eso_build() { # file
  [ -x "$1" ] && return
  local from source
  from=$(eso_module v0.16.2 h1:iNY+gIgSyL5higXTfnz+hdPCaiB/43UiHLqE7HBpj68=)
  source=$(mktemp -d)
  cp -r "$from"/. "$source" && chmod -R u+w "$source"
  sed -i '/pkg\/provider\//{/provider\/aws"/!d}' "$source/pkg/provider/register/register.go"
  echo 'package register' >"$source/pkg/generator/register/register.go"
  (cd "$source" && GOWORK=off CGO_ENABLED=0 GOFLAGS=-mod=readonly nice -n 5 go build -trimpath -gcflags all=-l -ldflags '-s -w' -o "$1.new" .)
  mv "$1.new" "$1"
  rm -rf "$source"
}
