{{- /* What the console is told by variables. */ -}}
{{- define "order-platform.consoleEnv" -}}
{{- $console := .Values.console -}}
{{- $name := printf "%s-console" (include "order-platform.fullname" .) -}}
{{- $namespace := include "order-platform.namespace" . -}}
{{- $service := list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) -}}
- name: ORDER_CONSOLE_LISTEN
  value: "0.0.0.0:{{ $console.port }}"
- name: ORDER_CONSOLE_IDENTITY
  value: {{ $console.identity }}
- name: ORDER_CONSOLE_HOSTS
  value: {{ join "," (concat $console.hosts $service) | quote }}
- name: ORDER_CONSOLE_NAMESPACES
  value: {{ join "," .Values.watch.namespaces | quote }}
- name: ORDER_CONSOLE_SESSION_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $console.session.existingSecret.name | default (printf "%s-session" $name) }}
      key: {{ $console.session.existingSecret.key }}
{{- if eq $console.identity "proxy" }}
- name: ORDER_CONSOLE_PROXY_GROUPS
  value: {{ join "," $console.proxy.groups | quote }}
- name: ORDER_CONSOLE_PROXY_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ required "console.proxy.existingSecret.name: with the identity proxy name a Secret with what the proxy proves itself by" $console.proxy.existingSecret.name }}
      key: {{ $console.proxy.existingSecret.key }}
{{- end }}
{{- if $console.ledger.existingSecret.name }}
- name: ORDER_CONSOLE_LEDGER_URL_FILE
  value: /etc/order-platform/ledger/url
{{- end }}
{{- with $console.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- /* The ledger's URL is read again for every trail, so that another password counts without a restart. */ -}}
{{- define "order-platform.consoleVolumes" -}}
{{- with .Values.console.ledger.existingSecret }}
{{- if .name }}
- name: ledger
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: url}
{{- end }}
{{- end }}
{{- end -}}
{{- define "order-platform.consoleSelector" -}}
{{ include "order-platform.selectorLabels" . }}
app.kubernetes.io/component: console
{{- end }}
