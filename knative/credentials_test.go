package knative

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative/eks/ekstest"
)

// On EKS every request carries a token of the AWS identity that this process has.
func TestReachOnEKS(t *testing.T) {
	a := ekstest.Authenticator{Cluster: "prod", Region: "eu-central-1", Identity: aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "sesame", SessionToken: "s"}}
	asked := 0
	cluster, err := Reach(&catalog.Knative{EKS: a.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"PodList","apiVersion":"v1","items":[]}`)
	})})
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := kube.CoreV1().Pods("n").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// bodyOf notes that it was closed.
type bodyOf struct {
	io.Reader
	closed bool
}

func (b *bodyOf) Close() error { b.closed = true; return nil }

// Without a token nothing is sent.
func TestSignedWithoutIdentity(t *testing.T) {
	body := &bodyOf{Reader: strings.NewReader("x")}
	r, err := http.NewRequest(http.MethodPost, "https://api.test", body)
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("away")
	s := signed{token: func(context.Context) (string, error) { return "", away }} // and nobody to send it
	if _, err := s.RoundTrip(r); !errors.Is(err, away) || !body.closed || r.Header.Get("Authorization") != "" {
		t.Errorf("%v, body closed %v", err, body.closed)
	}
}
