# `docker build .` builds the service, without TensorFlow; `--target train` builds the image that trains models.

ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /app


# The environment has no pip, so that the service's image has only what it imports; the base image's pip fills it.
FROM base AS packages
RUN python -m venv --without-pip /opt/venv
# `serve`, `otel` to include the OpenTelemetry packages that send spans, or `keras` for MENAGERIE_ENGINE=keras.
ARG REQUIREMENTS=serve
COPY requirements /tmp/requirements
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --require-hashes --only-binary :all: --requirement /tmp/requirements/${REQUIREMENTS}.txt


FROM packages AS train
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv install --require-hashes --only-binary :all: --requirement /tmp/requirements/train.txt
COPY models models
# The user below can read the code whatever the umask of the clone; it is compiled here because the root is read-only later.
# A new volume takes over the store's content and owner from this image.
RUN chmod -R u=rwX,go=rX . && python -m compileall -q . && chown -R 10001:10001 models/store
# Keras, matplotlib and others write to the home folder.
ENV HOME=/tmp
USER 10001:10001
ENTRYPOINT ["python", "-m", "models.train"]


FROM packages AS service
RUN find /opt/venv -type d -name tests -prune -exec rm -r {} +
COPY models/__init__.py models/bundle.py models/encoding.py models/feature.py models/golden.py models/hashing.py \
     models/installation.py models/manifest.py models/names.py models/number_format.py \
     models/reference_statistics.py models/signature.py models/weights.py models/
COPY service service
RUN chmod -R u=rwX,go=rX . && python -m compileall -q .


FROM base AS serve
# Nothing is installed from here on, so that vulnerabilities in pip do not concern this image.
RUN rm -rf "$(python -c 'import pip; print(*pip.__path__)')"* /usr/bin/pip* /usr/local/bin/pip*
COPY --from=service /opt/venv /opt/venv
COPY --from=service /app ./
COPY --chown=10001:10001 models/store models/store
COPY --chmod=755 deploy/sagemaker/serve /usr/local/bin/serve
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="Menagerie" \
      org.opencontainers.image.description="Serves small tabular Keras models over HTTP" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
# The port is 8000 unless PORT or a cloud platform says otherwise (service/server/cloud_environment.py).
ENV MENAGERIE_HEALTH_PORT=8081
EXPOSE 8000
USER 10001:10001
STOPSIGNAL SIGTERM
# http.client ignores a proxy that the engine sets for all containers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-c", "import http.client, os, sys; \
    health_port = int(os.environ.get('MENAGERIE_HEALTH_PORT') or 0); \
    service = http.client.HTTPConnection('127.0.0.1', health_port or os.environ.get('PORT') or 8000); \
    service.request('GET', '/readyz'); \
    sys.exit(service.getresponse().status != 200)"]
CMD ["python", "-m", "service"]
