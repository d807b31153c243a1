package provider

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var errText = errors.New("it is no text, too long, or holds control characters")

// text reads a claim that is a text; a missing one is empty.
func text(raw json.RawMessage, most int) (string, error) {
	var s string
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if json.Unmarshal(raw, &s) != nil || len(s) > most ||
		strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return "", errText
	}
	return s, nil
}

// groups reads the groups claim, a text or a list of texts. Groups that the provider left out ("overage" of Entra ID) are
// an error and no empty list: that would let somebody pass by every policy that denies a group.
func (p *Provider) groups(claims map[string]json.RawMessage) ([]string, error) {
	var elsewhere map[string]json.RawMessage
	if raw, ok := claims["_claim_names"]; ok && json.Unmarshal(raw, &elsewhere) != nil {
		return nil, ErrGroups
	}
	if _, left := elsewhere[p.GroupsClaim]; left {
		return nil, ErrGroups
	}
	raw, ok := claims[p.GroupsClaim]
	if has := claims["hasgroups"]; !ok && len(has) > 0 && string(has) != "false" && string(has) != "null" {
		return nil, ErrGroups
	}
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if raw[0] != '[' {
		list = []json.RawMessage{raw}
	} else if json.Unmarshal(raw, &list) != nil || len(list) > maxGroups {
		return nil, ErrGroups
	}
	var groups []string
	for _, item := range list {
		g, err := text(item, maxGroup)
		if err != nil {
			return nil, ErrGroups
		}
		if g != "" {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
