// What the app does, in the portal: heartbeats, failures, durations, commits, and what drives the bill.
param name string
param location string
param tags object = {}
param insightsId string

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(insightsId, name)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: name
    category: 'workbook'
    sourceId: insightsId
    serializedData: loadTextContent('../workbook.json')
    version: '1.0'
  }
}

output id string = workbook.id
