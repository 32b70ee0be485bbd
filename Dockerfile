# The service and the file tools (docs/service.md). On a processor:
#     docker build -t live-sr .
# and on an NVIDIA card, with TensorRT-RTX:
#     docker build -t live-sr:nvidia --target nvidia .
# Each RUN is a step of tools/container.sh. `python3 .ci/container.py` does all of this without Docker, and tries it.

FROM debian:trixie-slim AS system
COPY tools/container.sh tools/container_health.py /usr/local/lib/live-sr/
RUN sh /usr/local/lib/live-sr/container.sh system
ENV PATH=/opt/live-sr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/live-sr
WORKDIR /var/lib/live-sr
VOLUME /var/lib/live-sr
EXPOSE 8080
HEALTHCHECK CMD ["python3", "/usr/local/lib/live-sr/container_health.py"]
ENTRYPOINT ["live-sr"]
CMD ["serve", "--host", "0.0.0.0"]

FROM system AS tools
RUN sh /usr/local/lib/live-sr/container.sh tools
COPY . /source

FROM tools AS build-nvidia
RUN sh /usr/local/lib/live-sr/container.sh install /source serve rtx

FROM tools AS build
RUN sh /usr/local/lib/live-sr/container.sh install /source serve

FROM system AS nvidia
COPY --from=build-nvidia /opt/live-sr /opt/live-sr
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER live-sr

FROM system AS processor
COPY --from=build /opt/live-sr /opt/live-sr
USER live-sr
