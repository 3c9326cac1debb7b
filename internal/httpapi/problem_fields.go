package httpapi

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

// seedNames are the arguments whose name in JSON is not that of SQL in camelCase.
var seedNames = map[string]string{"queue": "queueName", "retry": "retryStrategy", "entry": "dlqItemId"}

// fieldsOf are the fields that err refuses, nil when it is about something else. What
// the library calls max_attempts the client sent as /maxAttempts.
func fieldsOf(ctx context.Context, err error) validate.FieldErrors {
	if wrong, ok := errors.AsType[validate.FieldErrors](err); ok {
		return wrong
	}
	refused, ok := errors.AsType[*penstock.ArgumentError](err)
	if !ok {
		return nil
	}
	return validate.FieldErrors{{Pointer: pointerOf(requestInfoOf(ctx).operation, refused), Detail: inTheAPIsWords(refused)}}
}

// pointerOf is where the request had the argument: a parameter if the operation has one
// of that name, else a field of the body.
func pointerOf(op *validate.Operation, refused *penstock.ArgumentError) string {
	keys := strings.Split(refused.Argument, ".")
	for i, key := range keys {
		keys[i] = camelCase(key)
	}
	if name, ok := seedNames[keys[0]]; ok {
		keys[0] = name
	}
	if op != nil {
		if p := op.Parameter(keys[len(keys)-1]); p != nil && refused.Job == 0 {
			return p.Name
		}
		if refused.Job > 0 && op.Batch != "-" {
			return op.Batch + "/" + strconv.Itoa(refused.Job-1) + "/" + strings.Join(keys, "/")
		}
	}
	return "/" + strings.Join(keys, "/")
}

// batchRemark is what the library adds to a message about a job; here the pointer says it.
var batchRemark = regexp.MustCompile(` \(job \d+ of [^)]*\)$`)

// inTheAPIsWords is the message with the argument's name as the API has it.
func inTheAPIsWords(refused *penstock.ArgumentError) string {
	message := batchRemark.ReplaceAllString(refused.Message, "")
	if rest, ok := strings.CutPrefix(message, refused.Argument+" must"); ok && refused.Argument != "" {
		return "must" + rest
	}
	return message
}

func camelCase(snake string) string {
	words := strings.Split(snake, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
