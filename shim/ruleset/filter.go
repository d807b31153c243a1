package ruleset

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/selector"
)

// Filter is one of the rules' filters, ready to select messages.
type Filter struct {
	rules.Filter
	URL    *url.URL      // of its server; nil: it is a converter beside the shim
	Egress []egress.Rule // where that server may be

	on []selector.Selector
}

// Filters are the filters of each direction, in the order in which they are asked. A filter may be in both.
type Filters [selector.Directions][]*Filter

// maxFilterTime bounds a filter's timeout, as the catalog does.
const maxFilterTime = time.Minute

func compileFilters(list []rules.Filter, own secret.Text) (compiled Filters, err error) {
	names := map[string]bool{}
	for i := range list {
		f := &Filter{Filter: list[i]}
		if names[f.Name] {
			return compiled, fmt.Errorf("filter %q stands twice", f.Name)
		}
		names[f.Name] = true
		if err := f.compile(own); err != nil {
			return compiled, fmt.Errorf("filter %q: %w", f.Name, err)
		}
		for d := range compiled {
			for _, s := range f.on {
				if s.Goes(selector.Direction(d)) {
					compiled[d] = append(compiled[d], f)
					break
				}
			}
		}
	}
	return compiled, nil
}

func (f *Filter) compile(own secret.Text) (err error) {
	switch {
	case f.Name == "":
		return errors.New("it has no name")
	case f.Timeout <= 0 || f.Timeout > maxFilterTime:
		return fmt.Errorf("a timeout of %v is not possible", f.Timeout)
	case f.OnError != rules.OnErrorReject && f.OnError != rules.OnErrorAccept:
		return fmt.Errorf("onError %q is not known", f.OnError)
	}
	if f.on, err = selector.ParseAll(f.On); err != nil {
		return err
	}
	if f.Server == nil {
		return nil
	}
	if f.URL, err = url.Parse(f.Server.URL); err != nil || f.Server.Tool == "" {
		return errors.New("its server has no URL or no tool")
	}
	if _, err := egress.PortOf(f.URL); err != nil {
		return err
	}
	if c := f.Server.Caller; c != nil && (own.Empty() || c.Issuer == "" || c.Client.ID == "") {
		return errors.New("it is a server of the catalog, and this shim has nothing to get a token by for that")
	}
	f.Egress, err = egress.Parse(f.Server.Egress)
	return err
}

// Selects tells whether the filter is asked about a message.
func (f *Filter) Selects(d selector.Direction, m selector.Message) bool {
	for i := range f.on {
		if f.on[i].Selects(d, m) {
			return true
		}
	}
	return false
}
