# Sourced: the External Secrets operator, from its Go module, pinned with its checksum.
#
# eso_crds prints the folder of its types, of 1.3 as terraform/knative installs it. eso_build builds the operator into a folder,
# as $EXTERNAL_SECRETS: the newest version whose module is whole (later ones are made of modules that no proxy has), with its
# provider of AWS alone, which takes some three minutes on two cores. It reads and writes the same v1.
eso_module() { # version sum
  local said
  said=$(cd / && go mod download -json "github.com/external-secrets/external-secrets@$1")
  grep -q "\"Sum\": \"$2\"" <<<"$said" || { echo "external-secrets $1 is not what was pinned: $said" >&2; return 1; }
  sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$said"
}
eso_crds() { echo "$(eso_module v1.3.2 h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=)/config/crds/bases"; }
eso_build() { # folder
  local version=v0.16.2 from source
  export EXTERNAL_SECRETS=$1/external-secrets-$version
  [ -x "$EXTERNAL_SECRETS" ] && return
  from=$(eso_module $version h1:iNY+gIgSyL5higXTfnz+hdPCaiB/43UiHLqE7HBpj68=)
  source=$(mktemp -d)
  cp -r "$from"/. "$source" && chmod -R u+w "$source"
  sed -i '/pkg\/provider\//{/provider\/aws"/!d}' "$source/pkg/provider/register/register.go"
  echo 'package register' >"$source/pkg/generator/register/register.go"
  (cd "$source" && GOWORK=off CGO_ENABLED=0 GOFLAGS=-mod=readonly nice -n 5 go build -trimpath -gcflags all=-l -ldflags '-s -w' -o "$EXTERNAL_SECRETS.new" .)
  mv "$EXTERNAL_SECRETS.new" "$EXTERNAL_SECRETS"
  rm -rf "$source"
}
