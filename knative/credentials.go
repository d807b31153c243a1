package knative

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"mcpgateway/internal/catalog"
)

// Reach says how to reach the cluster of a platform file.
func Reach(k *catalog.Knative) (*rest.Config, error) {
	return Credentials(k.Kubeconfig)
}

// Credentials says how to reach the cluster: by a kubeconfig file where one is named, else by the files that $KUBECONFIG
// names, else by what every pod of a cluster has.
func Credentials(kubeconfig string) (*rest.Config, error) {
	files := clientcmd.NewDefaultClientConfigLoadingRules()
	files.ExplicitPath = kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(files, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("credentials for the cluster: %w", err)
	}
	return c, nil
}
