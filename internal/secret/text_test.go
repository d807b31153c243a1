package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const value = "hunter2"

type holder struct {
	Shown  Text
	hidden Text
	list   []Text
	Keyed  map[string]Text
}

// However it is printed, alone or in something, the value is not in it.
func TestTextIsNotPrinted(t *testing.T) {
	text := New(value)
	h := holder{Shown: text, hidden: text, list: []Text{text}, Keyed: map[string]Text{"k": text}}
	var printed []string
	for _, v := range []any{text, &text, h, &h, []any{h}, map[Text]int{text: 1}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%w"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		printed = append(printed, fmt.Sprint(v), fmt.Errorf("wrapped: %w", errors.New(fmt.Sprint(v))).Error())
		if b, err := json.Marshal(v); err == nil {
			printed = append(printed, string(b))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		printed = append(printed, log.String())
	}
	all := strings.Join(printed, "\n")
	if strings.Contains(all, value) || strings.Contains(strings.ToLower(all), fmt.Sprintf("%x", value)) {
		t.Errorf("printed: %s", all)
	}
	if !strings.Contains(all, redacted) {
		t.Errorf("nothing says that there is a secret: %s", all)
	}
}

func TestReveal(t *testing.T) {
	if v := New(value); v.Reveal() != value || v.Empty() {
		t.Errorf("revealed %q", v.Reveal())
	}
	if (Text{}).Reveal() != "" || !(Text{}).Empty() || !New("").Empty() {
		t.Error("the zero value is not the empty text")
	}
}
