package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestBriefRows(t *testing.T) {
	const row = `{"Id":"1","Names":["/a"],"Image":"b","Command":"c","Created":1,"State":"exited","Status":"s"}`
	for text, ok := range map[string]bool{
		"[]\n": true, "[" + row + "\n]\n": true, "[" + row + "\n," + row + "\n]\n": true,
		"[" + row + "\n," + row + "\n": false, "[" + row + "\n": false, "": false, "{}\n": false, "[" + row + "\n" + row + "\n]\n": false, "[null\n": false,
	} {
		got, err := briefRows(strings.NewReader(text))
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			continue
		}
		var want []container.Summary
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v instead of %+v", text, got, want)
		}
	}
}
