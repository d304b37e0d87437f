{{- /* The keys of what Temporal keeps, for whatever reads or writes it. */ -}}
{{- define "order-platform.encryptionEnv" -}}
{{- with .Values.encryption }}
{{- if .existingSecret.name }}
- name: ORDER_ENCRYPTION_KEYS_FILE
  value: /etc/order-platform/encryption/keys
- name: ORDER_ENCRYPTION_WRITE
  value: {{ .write | quote }}
{{- with .namespaces }}
- name: ORDER_ENCRYPTION_NAMESPACES
  value: {{ $pairs := list }}{{ range $namespace, $key := . }}{{ $pairs = append $pairs (printf "%s=%s" $namespace $key) }}{{ end }}{{ join "," $pairs | quote }}
{{- end }}
{{- else if or .write .namespaces }}
{{- fail "encryption.existingSecret.name: encryption.write and encryption.namespaces need a Secret with keys" }}
{{- end }}
{{- end }}
{{- end -}}
{{- define "order-platform.encryptionVolumes" -}}
{{- with .Values.encryption.existingSecret }}
{{- if .name }}
- name: encryption
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: keys}
{{- end }}
{{- end }}
{{- end -}}
