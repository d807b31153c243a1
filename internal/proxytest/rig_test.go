package proxytest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
)

func TestDocumentsAndTokensFit(t *testing.T) {
	dir := t.TempDir()
	r := new(Rig)
	if err := r.startIssuer(dir, []string{"bob"}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Stop() }()
	path, err := writeDocuments(Config{Dir: dir, Catalog: "catalog text", PublicURL: "http://127.0.0.1:8080"}, r.issuer.URL())
	if err != nil {
		t.Fatal(err)
	}
	if r.platform, err = catalog.LoadPlatform(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(r.platform.Catalog); err != nil || string(text) != "catalog text" {
		t.Errorf("catalog %s holds %q, %v", r.platform.Catalog, text, err)
	}
	v, err := identity.NewVerifier(identity.Config{Issuers: r.platform.Issuers, HTTPClient: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	token, err := r.Token("one")
	if err != nil {
		t.Fatal(err)
	}
	who, err := v.Verify(t.Context(), token, []string{r.platform.Resource("one")})
	if err != nil || who.Subject != User {
		t.Errorf("token is of %+v, %v", who, err)
	}
	other, err := r.TokenOf("bob", "one")
	if err != nil {
		t.Fatal(err)
	}
	if who, err = v.Verify(t.Context(), other, []string{r.platform.Resource("one")}); err != nil || who.Subject != "bob" {
		t.Errorf("the other user's token is of %+v, %v", who, err)
	}
	if _, err := v.Verify(t.Context(), token, []string{r.platform.Resource("two")}); err == nil {
		t.Error("token is good for another server")
	}
}

func TestStartTellsWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Config{Bin: filepath.Join(dir, "none"), Dir: dir, Catalog: "apiVersion: v1"})
	if err == nil || !strings.Contains(err.Error(), "start deployer") {
		t.Errorf("err = %v, want that the deployer cannot be started", err)
	}
}
