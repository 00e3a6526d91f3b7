{{- define "niffler.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Beginning of all names. 40 characters leave room for what is put behind it, down to a pod's own ending. */}}
{{- define "niffler.fullname" -}}
{{- $name := include "niffler.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Selectors cannot be changed by an upgrade ("field is immutable"): these three labels, and none that a version alters. Pods have no
     others, so that a new version of the chart alone replaces none. Called with (list . COMPONENT). */}}
{{- define "niffler.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "niffler.name" $root | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "niffler.labels" -}}
{{- $root := first . -}}
{{ include "niffler.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: niffler-png
app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "niffler.image" -}}
{{- $image := .Values.image }}
{{- $repository := required "image.repository must be given: nobody publishes an image; build one by deploy/Dockerfile, push it to a registry of yours, and name that" $image.repository }}
{{- with .Values.global.imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- $host := first $parts }}
{{- if and (gt (len $parts) 1) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) }}
{{- $parts = rest $parts }}
{{- end }}
{{- $repository = printf "%s/%s" . (join "/" $parts) }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "niffler.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "niffler.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* ---- claims ---- */}}

{{/* (list . "input"|"output") */}}
{{- define "niffler.claim" -}}
{{- $root := first . -}}
{{- $which := last . -}}
{{- $storage := index $root.Values.storage $which -}}
{{- if $storage.existingClaim }}
{{- $storage.existingClaim }}
{{- else if $storage.size }}
{{- printf "%s-%s" (include "niffler.fullname" $root) $which }}
{{- else }}
{{- fail (printf "storage.%s.existingClaim or storage.%s.size must be given" $which $which) }}
{{- end }}
{{- end }}

{{/* ---- what all pods have ---- */}}

{{- define "niffler.podSecurity" -}}
serviceAccountName: {{ include "niffler.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 .Values.security.runAsUser }}
  runAsGroup: {{ int64 .Values.security.runAsGroup }}
  fsGroup: {{ int64 .Values.security.fsGroup }}
  # A walk over millions of pictures at every start otherwise
  fsGroupChangePolicy: OnRootMismatch
  {{- with .Values.security.supplementalGroups }}
  supplementalGroups:
    {{- range . }}
    - {{ int64 . }}
    {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "niffler.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "niffler.imageLines" -}}
image: {{ include "niffler.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "niffler.mounts" -}}
- name: config
  mountPath: /etc/niffler-png
  readOnly: true
- name: input
  mountPath: /data/input
  readOnly: true
  {{- with .Values.storage.input.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
- name: output
  mountPath: /data/output
  {{- with .Values.storage.output.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
- name: tmp
  mountPath: /tmp
{{- if .Values.kafka.existingSecret }}
- name: kafka
  mountPath: /run/secrets/niffler-png/kafka
  readOnly: true
{{- end }}
{{- if .Values.kafka.existingTokenSecret }}
- name: kafka-token
  mountPath: /run/secrets/niffler-png/kafka-token
  readOnly: true
{{- end }}
{{- if .Values.redis.existingSecret }}
- name: redis
  mountPath: /run/secrets/niffler-png/redis
  readOnly: true
{{- end }}
{{- if .Values.mail.existingSecret }}
- name: mail
  mountPath: /run/secrets/niffler-png/mail
  readOnly: true
{{- end }}
{{- end }}

{{/* (list . SIZE_OF_TMP) */}}
{{- define "niffler.volumes" -}}
{{- $root := first . -}}
- name: config
  configMap:
    name: {{ include "niffler.fullname" $root }}-config
- name: input
  persistentVolumeClaim:
    claimName: {{ include "niffler.claim" (list $root "input") | quote }}
    readOnly: true
- name: output
  persistentVolumeClaim:
    claimName: {{ include "niffler.claim" (list $root "output") | quote }}
- name: tmp
  emptyDir:
    sizeLimit: {{ last . | quote }}
{{- range $name, $secret := dict "kafka" $root.Values.kafka.existingSecret "kafka-token" $root.Values.kafka.existingTokenSecret "redis" $root.Values.redis.existingSecret "mail" $root.Values.mail.existingSecret }}
{{- if $secret }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{- define "niffler.probes" -}}
# Storage that hangs can hold the start; then a loop that stands still for a minute ends the process. Kafka, Redis and storage that
# are gone do not: the pod is only not ready.
startupProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{/* (list MEMORY_MIB CPU_REQUEST CPU_LIMIT) */}}
{{- define "niffler.resources" -}}
requests:
  cpu: {{ index . 1 | quote }}
  memory: {{ int64 (index . 0) }}Mi
limits:
  {{- with index . 2 }}
  cpu: {{ . | quote }}
  {{- end }}
  memory: {{ int64 (index . 0) }}Mi
{{- end }}

{{/* ---- config.json ---- */}}

{{- define "niffler.config" -}}
{{- $kafka := .Values.kafka }}
{{- $config := dict
  "InputRoot" "/data/input"
  "OutputRoot" "/data/output"
  "KafkaBrokers" (required "kafka.brokers must be given, as host:port,host:port" $kafka.brokers)
  "KafkaTasksTopic" $kafka.tasksTopic
  "KafkaResultsTopic" $kafka.resultsTopic
  "KafkaDeadTopic" $kafka.deadTopic
  "KafkaWorkerGroup" $kafka.workerGroup
  "KafkaAggregatorGroup" $kafka.aggregatorGroup
  "MetricsListen" (printf "0.0.0.0:%d" (int .Values.metrics.port))
  "UseProcesses" (int .Values.worker.decoders)
  "DecoderMemory" (printf "%dM" (int .Values.worker.decoderMemoryMiB))
  "DrainSeconds" (int .Values.worker.drainSeconds)
}}
{{- if $kafka.existingSecret }}
{{- $_ := set $config "KafkaConfigFile" (printf "/run/secrets/niffler-png/kafka/%s" $kafka.configKey) }}
{{- end }}
{{- if $kafka.existingTokenSecret }}
{{- $_ := set $config "KafkaTokenFile" (printf "/run/secrets/niffler-png/kafka-token/%s" $kafka.tokenKey) }}
{{- end }}
{{- with .Values.redis }}
{{- if .url }}
{{- $_ := set $config "RedisUrl" .url }}
{{- $_ := set $config "RedisPrefix" .prefix }}
{{- if .existingSecret }}
{{- $_ := set $config "RedisPasswordFile" (printf "/run/secrets/niffler-png/redis/%s" .passwordKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.mail }}
{{- if .smtpUrl }}
{{- $_ := set $config "SmtpUrl" .smtpUrl }}
{{- $_ := set $config "SmtpStartTls" .startTls }}
{{- if .to }}{{ $_ := set $config "YourEmail" .to }}{{ end }}
{{- if .from }}{{ $_ := set $config "MailFrom" .from }}{{ end }}
{{- if .user }}{{ $_ := set $config "SmtpUser" .user }}{{ end }}
{{- if .existingSecret }}
{{- $_ := set $config "SmtpPasswordFile" (printf "/run/secrets/niffler-png/mail/%s" .passwordKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $key, $value := .Values.settings }}
{{- /* A number of YAML is a float here, which would be printed as 1e+06 */}}
{{- $_ := set $config $key (ternary (int64 $value) $value (and (kindIs "float64" $value) (eq (float64 (int64 $value)) (float64 $value)))) }}
{{- end }}
{{- mustToPrettyJson $config }}
{{- end }}

{{/* ---- numbers ---- */}}

{{- define "niffler.memory" -}}
{{- with .Values.worker }}
{{- add (mul (int .decoders) (int .decoderMemoryMiB)) (int .overheadMiB) }}
{{- end }}
{{- end }}

{{/* After the drain: what was sent is answered for (5 s), partitions are given back and the group is left (5 s each), the last
     offsets are committed (2 s). */}}
{{- define "niffler.grace" -}}
{{- $least := add (int .Values.worker.drainSeconds) 30 }}
{{- $given := int .Values.worker.terminationGracePeriodSeconds }}
{{- if and (gt $given 0) (lt $given (int $least)) }}
{{- fail (printf "worker.terminationGracePeriodSeconds is %d: a worker would be killed before it is drained; at least worker.drainSeconds and 30, %d" $given $least) }}
{{- end }}
{{- max $given (int $least) }}
{{- end }}

{{/* (list . KEY): maxReplicas of keda or hpa */}}
{{- define "niffler.maxReplicas" -}}
{{- $values := (first .).Values }}
{{- $scaling := index $values (last .) }}
{{- $most := int $values.kafka.partitions }}
{{- if gt (int $scaling.maxReplicas) $most }}
{{- fail (printf "%s.maxReplicas is %d, and kafka.partitions %d: more workers than partitions have nothing to do" (last .) (int $scaling.maxReplicas) $most) }}
{{- end }}
{{- $found := ternary (int $scaling.maxReplicas) $most (gt (int $scaling.maxReplicas) 0) }}
{{- if gt (int $scaling.minReplicas) $found }}
{{- fail (printf "%s.minReplicas is more than its maxReplicas, %d" (last .) $found) }}
{{- end }}
{{- $found }}
{{- end }}

{{/* What values.schema.json cannot say. */}}
{{- define "niffler.check" -}}
{{- if and .Values.keda.enabled .Values.hpa.enabled }}
{{- fail "keda.enabled and hpa.enabled: both would scale the same workers; choose one" }}
{{- end }}
{{- if and (not .Values.keda.enabled) (not .Values.hpa.enabled) (gt (int .Values.worker.replicas) (int .Values.kafka.partitions)) }}
{{- fail (printf "worker.replicas is %d, and kafka.partitions %d: more workers than partitions have nothing to do" (int .Values.worker.replicas) (int .Values.kafka.partitions)) }}
{{- end }}
{{- if and (or .Values.strimzi.topics .Values.strimzi.users) (not .Values.strimzi.cluster) }}
{{- fail "strimzi.cluster must be given with strimzi.topics or strimzi.users" }}
{{- end }}
{{- if and .Values.redis.existingSecret (not .Values.redis.url) }}
{{- fail "redis.existingSecret without redis.url: nothing would use it" }}
{{- end }}
{{- if and .Values.mail.existingSecret (not .Values.mail.smtpUrl) }}
{{- fail "mail.existingSecret without mail.smtpUrl: nothing would use it" }}
{{- end }}
{{- end }}
