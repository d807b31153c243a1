package upstream

import "strings"

// challenge is what a server says when it is asked without a token (RFC 6750 section 3, RFC 9728 section 5.1).
type challenge struct{ metadata, scope string }

// parseChallenges finds the first Bearer challenge that there is in the WWW-Authenticate headers. What cannot be read is none.
func parseChallenges(headers []string) (c challenge, found bool) {
	for _, text := range headers {
		if len(text) > maxBody/8 {
			continue
		}
		for rest := text; rest != ""; {
			var scheme string
			scheme, rest = cutToken(strings.TrimLeft(rest, " \t,"))
			if scheme == "" {
				break
			}
			var params map[string]string
			params, rest = cutParams(rest)
			if strings.EqualFold(scheme, "bearer") {
				return challenge{params["resource_metadata"], params["scope"]}, true
			}
		}
	}
	return c, false
}

// cutParams reads auth-params (RFC 9110 section 11.2) until the next challenge.
func cutParams(text string) (params map[string]string, rest string) {
	params = map[string]string{}
	for {
		text = strings.TrimLeft(text, " \t,")
		name, after := cutToken(text)
		after = strings.TrimLeft(after, " \t")
		if name == "" || !strings.HasPrefix(after, "=") {
			return params, text
		}
		var value string
		value, text = cutValue(strings.TrimLeft(after[1:], " \t"))
		if name = strings.ToLower(name); params[name] == "" {
			params[name] = value
		}
	}
}

// cutValue reads a token, or a quoted string with its escapes (RFC 9110 section 5.6.4).
func cutValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		return cutToken(text)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "" // it does not end
}

// cutToken reads up to a separator.
func cutToken(text string) (token, rest string) {
	at := strings.IndexAny(text, " \t,=\"")
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at:]
}
