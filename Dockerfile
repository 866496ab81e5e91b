FROM python:3.11-slim

RUN useradd --create-home --uid 10001 crmstream
COPY requirements/runtime.txt /opt/crmstream/requirements.txt
RUN pip install --no-cache-dir --require-hashes -r /opt/crmstream/requirements.txt

COPY schemas /opt/crmstream/schemas
COPY stream /opt/crmstream/stream
# our user may not write there: each start would compile all of it again
RUN python -m compileall -q /opt/crmstream
ENV PYTHONPATH=/opt/crmstream PYTHONUNBUFFERED=1

USER crmstream
WORKDIR /home/crmstream
ENTRYPOINT ["python", "-c", "from stream.cli import main; main()"]
