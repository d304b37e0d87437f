{{- /* A map over the defaults beneath it, key by key and at any depth; null takes a default away. Sprig's own merge takes
      a default for what is 0, false or empty. Takes a dict: over, under. */ -}}
{{- define "order-platform.merged" -}}
{{- $merged := deepCopy .under -}}
{{- range $key, $value := .over -}}
{{- $below := get $merged $key -}}
{{- if kindIs "invalid" $value -}}
{{- $merged = omit $merged $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $below) -}}
{{- $_ := set $merged $key (include "order-platform.merged" (dict "over" $value "under" $below) | fromYaml) -}}
{{- else -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end }}

{{- /* The entries of `workers`, each over `worker.defaults`, as a map by name. */ -}}
{{- define "order-platform.workers" -}}
{{- if kindIs "slice" .Values.workers -}}
{{- fail "workers is a map by name now: write workers.<name>.taskQueue, workers.<name>.replicas and so on instead of a list of entries with a name each (--set workers.orders.replicas=3)" -}}
{{- end -}}
{{- $workers := dict -}}
{{- range $name, $entry := .Values.workers -}}
{{- $worker := include "order-platform.merged" (dict "over" ($entry | default dict) "under" $.Values.worker.defaults) | fromYaml -}}
{{- $_ := set $worker "taskQueue" ($worker.taskQueue | default $name) -}}
{{- $_ := set $workers $name $worker -}}
{{- end -}}
{{- toYaml $workers -}}
{{- end }}

{{- /* Labels of the pods of one entry. Takes a dict: root, name. */ -}}
{{- define "order-platform.workerSelector" -}}
{{ include "order-platform.selectorLabels" .root }}
app.kubernetes.io/component: worker
order-platform.dev/worker: {{ .name }}
{{- end }}
