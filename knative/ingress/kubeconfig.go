package ingress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// kubeconfig is what is read of one (Kubernetes API, client.config v1): the current context, with a token or a client
// certificate. Programs that make credentials are not run: they are refused, as all else that would mean less trust.
type kubeconfig struct {
	Current  string `yaml:"current-context"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string            `yaml:"name"`
		Cluster kubeconfigCluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string         `yaml:"name"`
		User kubeconfigUser `yaml:"user"`
	} `yaml:"users"`
}

type kubeconfigCluster struct {
	Server     string `yaml:"server"`
	CA         string `yaml:"certificate-authority"`
	CAData     string `yaml:"certificate-authority-data"`
	ServerName string `yaml:"tls-server-name"`
	Proxy      string `yaml:"proxy-url"`
	Insecure   bool   `yaml:"insecure-skip-tls-verify"`
}

type kubeconfigUser struct {
	Token     string `yaml:"token"`
	TokenFile string `yaml:"tokenFile"`
	Cert      string `yaml:"client-certificate"`
	CertData  string `yaml:"client-certificate-data"`
	Key       string `yaml:"client-key"`
	KeyData   string `yaml:"client-key-data"`
	Exec      any    `yaml:"exec"`
	Provider  any    `yaml:"auth-provider"`
	Username  string `yaml:"username"`
	As        string `yaml:"as"`
}

func readKubeconfig(path string) (*api, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a, err := parseKubeconfig(text, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// parseKubeconfig reads paths in it as relative to dir.
func parseKubeconfig(text []byte, dir string) (*api, error) {
	var k kubeconfig
	if err := yaml.Unmarshal(text, &k); err != nil {
		return nil, errors.New("no YAML in the form of a kubeconfig") // the library's error may repeat a secret
	}
	cluster, user := k.current()
	if cluster == nil || user == nil {
		return nil, errors.New("the current context names no cluster and user of the file")
	}
	config, err := cluster.tls(dir)
	if err != nil {
		return nil, err
	}
	token, err := user.credential(config, dir)
	if err != nil {
		return nil, err
	}
	return newAPI(cluster.Server, config, token)
}

func (k *kubeconfig) current() (cluster *kubeconfigCluster, user *kubeconfigUser) {
	for i := range k.Contexts {
		if k.Contexts[i].Name != k.Current {
			continue
		}
		for j := range k.Clusters {
			if k.Clusters[j].Name == k.Contexts[i].Context.Cluster {
				cluster = &k.Clusters[j].Cluster
			}
		}
		for j := range k.Users {
			if k.Users[j].Name == k.Contexts[i].Context.User {
				user = &k.Users[j].User
			}
		}
	}
	return cluster, user
}

func (c *kubeconfigCluster) tls(dir string) (*tls.Config, error) {
	if c.Insecure || c.Proxy != "" {
		return nil, errors.New("insecure-skip-tls-verify and proxy-url are not supported")
	}
	pem, err := fileOrData(c.CA, c.CAData, dir)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority: %w", err)
	}
	roots, err := authorities(pem)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, ServerName: c.ServerName}, nil
}

// credential is the user's token; a client certificate is put in config, and the token is nil.
func (u *kubeconfigUser) credential(config *tls.Config, dir string) (token tokenSource, err error) {
	switch {
	case u.Exec != nil || u.Provider != nil || u.Username != "" || u.As != "":
		return nil, errors.New("a user needs token, tokenFile, or client-certificate and client-key: exec, auth-provider, username and as are not supported")
	case u.TokenFile != "":
		return fileToken(absolute(u.TokenFile, dir)), nil
	case u.Token != "":
		return func(context.Context) (string, error) { return u.Token, nil }, nil
	}
	certificate, err := fileOrData(u.Cert, u.CertData, dir)
	if err != nil {
		return nil, fmt.Errorf("client-certificate: %w", err)
	}
	key, err := fileOrData(u.Key, u.KeyData, dir)
	if err != nil {
		return nil, fmt.Errorf("client-key: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("client-certificate and client-key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return nil, nil
}

// fileOrData prefers data, as the format says.
func fileOrData(file, data, dir string) ([]byte, error) {
	switch {
	case data != "":
		text, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, errors.New("the data is not base64")
		}
		return text, nil
	case file != "":
		return os.ReadFile(absolute(file, dir))
	}
	return nil, errors.New("neither a file nor data is given")
}

func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// authorities makes the pool of the only ones that are trusted: those of the web are not.
func authorities(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the certificate authority holds no certificate in PEM")
	}
	return pool, nil
}
