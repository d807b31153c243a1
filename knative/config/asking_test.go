package config

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative/account"
)

func platform(t *testing.T) *catalog.Platform {
	t.Helper()
	p, err := catalog.LoadPlatform("platform.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.LoadCatalog("catalog.yaml", p, catalog.LeaveConditions); err != nil {
		t.Fatal(err)
	}
	return p
}

// The gateway's pods have, where the gateway looks for it, the token that the deployer takes: short-lived, and for nobody else.
func TestGatewayHasTokenForDeployer(t *testing.T) {
	want := platform(t).Deployer
	d := named[*appsv1.Deployment](t, manifests(t), "gateway")
	pod := d.Spec.Template.Spec
	found := 0
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			token := source.ServiceAccountToken
			if token == nil || len(v.Projected.Sources) != 1 || token.Audience != catalog.TokenAudience || *token.ExpirationSeconds != 600 {
				t.Errorf("volume %s has %+v", v.Name, source)
				continue
			}
			for _, m := range pod.Containers[0].VolumeMounts {
				if m.Name == v.Name && m.ReadOnly && m.SubPath == "" && m.MountPath+"/"+token.Path == want.Token {
					found++
				}
			}
		}
	}
	if account := d.Namespace + "/" + pod.ServiceAccountName; found != 1 || account != want.Account {
		t.Errorf("%d tokens at %s; the pods run as %s, and %s may ask", found, want.Token, account, want.Account)
	}
}

// TestWhoMayAsk has a deployer with its own credentials, and no right more, tell whose token a real API server signed.
func TestWhoMayAsk(t *testing.T) {
	c := connect(t)
	may, err := account.New(account.Config{Cluster: c.account(t, "deployer"), Audience: catalog.TokenAudience, Account: platform(t).Deployer.Account})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		namespace, account string
		audiences          []string
		want               error
	}{
		{system, "gateway", []string{catalog.TokenAudience}, nil},
		{system, "gateway", nil, account.ErrToken}, // what it shows the API server
		{system, "gateway", []string{"somebody"}, account.ErrToken},
		{system, "deployer", []string{catalog.TokenAudience}, account.ErrAccount},
		{servers, "mcp-server", []string{catalog.TokenAudience}, account.ErrAccount},
		{system, "default", []string{catalog.TokenAudience}, account.ErrAccount},
	} {
		token, err := c.kube.CoreV1().ServiceAccounts(tt.namespace).CreateToken(t.Context(), tt.account,
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: tt.audiences}}, metav1.CreateOptions{})
		if tt.account == "default" && err != nil {
			continue // made by a controller, which is not part of every test cluster
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := may.Check(t.Context(), token.Status.Token); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s/%s for %q: %v, want %v", tt.namespace, tt.account, tt.audiences, err, tt.want)
		}
	}
}
