package operate

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"mcpgateway/knative"
)

// Server is an entry of the catalog with what the cluster has of it.
type Server struct {
	ID        string            `json:"id"`
	PerUser   bool              `json:"perUser"`   // each user has an instance of their own
	InCatalog bool              `json:"inCatalog"` // false: the deployer is about to remove it
	Deployed  bool              `json:"deployed"`  // an instance is there, asleep or awake
	Instances []knative.Service `json:"instances"`
}

// Status returns the entries in the order of the catalog, and after them what the cluster has beside it.
func (c *Cluster) Status(ctx context.Context) ([]Server, error) {
	services, err := c.deployer.Survey(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Server, 0, len(c.catalog.Servers))
	at := map[string]int{}
	for _, s := range c.catalog.Servers {
		at[s.ID] = len(list)
		list = append(list, Server{ID: s.ID, PerUser: s.Instances.PerUser, InCatalog: true, Instances: []knative.Service{}})
	}
	for _, s := range services {
		i, ok := at[s.Server]
		if !ok {
			i = len(list)
			at[s.Server] = i
			list = append(list, Server{ID: s.Server, PerUser: s.Owner != ""})
		}
		list[i].Deployed = true
		list[i].Instances = append(list[i].Instances, s)
	}
	return list, nil
}

// WriteTable writes servers as a table, and below it what keeps some of them from starting. now is what ages are from.
func WriteTable(out io.Writer, servers []Server, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tINSTANCE\tSTATE\tFOR\tLAST CALL\tREVISION\tIMAGES")
	var troubles strings.Builder
	for _, s := range servers {
		if len(s.Instances) == 0 {
			state := "not deployed"
			if s.PerUser {
				state = "no instances"
			}
			fmt.Fprintf(table, "%s\t\t%s\t\t\t\t\n", s.ID, state)
		}
		for _, i := range s.Instances {
			fmt.Fprintln(table, row(s, i, now))
			if i.Trouble != "" {
				fmt.Fprintf(&troubles, "\n%s: %s\n", i.Name, strings.ReplaceAll(i.Trouble, "\n", "\n    "))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, printable(troubles.String()))
	return err
}

func row(s Server, i knative.Service, now time.Time) string {
	state, revision, since, call := string(i.State), i.Revision, "", ""
	if i.Trouble != "" {
		state += ", trouble"
	}
	if !s.InCatalog {
		state += ", not in the catalog"
	}
	if i.Next != "" {
		revision = strings.TrimPrefix(revision+", then "+i.Next, ", then ")
	}
	if i.Since != nil {
		since = age(now.Sub(*i.Since))
	}
	if i.LastCall != nil {
		call = age(now.Sub(*i.LastCall)) + " ago"
	}
	var images []string
	for _, image := range i.Images {
		images = append(images, image.Container+" "+short(image.Image))
	}
	return strings.Join([]string{s.ID, i.Owner, state, since, call, revision, strings.Join(images, ", ")}, "\t")
}

// short is an image's digest in 12 digits, or its name where it has none.
func short(image string) string {
	if _, digest, ok := strings.Cut(image, "@sha256:"); ok && len(digest) > 12 {
		return digest[:12]
	}
	return image
}
